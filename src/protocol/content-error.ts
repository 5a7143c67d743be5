/** Why a body cannot be read: an unknown coding, bytes that do not match their coding or are not UTF-8, or too many of them. */
export type ContentFault = 'unknown_coding' | 'undecodable' | 'too_large'

/** Thrown if the bytes or the rows of a body, a response or a file cannot be read, whatever they mean. */
export class ContentError extends Error {
  override name = 'ContentError'
  readonly fault: ContentFault

  constructor(fault: ContentFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.fault = fault
  }
}
