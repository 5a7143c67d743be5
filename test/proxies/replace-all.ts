/** Replaces texts of a documented configuration, which it must have. */
export function replaceAll(text: string, replace: Record<string, string>): string {
  return Object.entries(replace).reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`the documented configuration has no ${from}`)
    return changed.replaceAll(from, to)
  }, text)
}
