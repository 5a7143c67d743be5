/** Cache size. Clients send a handful of texts. A client that sends ever new ones gains nothing. */
const MAX_VALUES = 100

/** Caches the results of `read`, which must be a pure function. */
export function memoize<Value>(read: (text: string) => Value): (text: string) => Value {
  const values = new Map<string, { value: Value }>()
  return (text) => {
    const known = values.get(text)
    if (known) return known.value
    const value = read(text)
    if (values.size >= MAX_VALUES) values.clear()
    values.set(text, { value })
    return value
  }
}
