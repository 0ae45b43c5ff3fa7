/** The form of a position in the log. */
export const POSITION = /^\d{20}$/;
