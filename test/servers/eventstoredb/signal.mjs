/** A notification that can be given many times. The promise `next` resolves at the next call of `give`. */
export class Signal {
  constructor() {
    this.arm();
  }

  give() {
    const tell = this.tell;
    this.arm();
    tell();
  }

  arm() {
    this.next = new Promise((resolve) => (this.tell = resolve));
  }
}
