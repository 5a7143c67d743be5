/** Cache size for texts of clients, which send a handful. A client that sends ever new ones gains nothing. */
const MAX_VALUES = 100

/** Caches up to `maxValues` results of `read`, which must be a pure function. */
export function memoize<Value>(read: (text: string) => Value, maxValues = MAX_VALUES): (text: string) => Value {
  const values = new Map<string, { value: Value }>()
  return (text) => {
    const known = values.get(text)
    if (known) return known.value
    const value = read(text)
    if (values.size >= maxValues) values.clear()
    values.set(text, { value })
    return value
  }
}
