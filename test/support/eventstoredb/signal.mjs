/** Something that happens again and again: `next` resolves the next time. */
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
