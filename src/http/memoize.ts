/** Texts of which an answer is remembered; clients send a handful, and whoever sends ever new ones gains nothing by it. */
const MOST = 100

/** The same as `read`, which must give the same for the same text; it is asked once for those that come again and again. */
export function remembered<Value>(read: (text: string) => Value): (text: string) => Value {
  const values = new Map<string, { value: Value }>()
  return (text) => {
    const known = values.get(text)
    if (known) return known.value
    const value = read(text)
    if (values.size >= MOST) values.clear()
    values.set(text, { value })
    return value
  }
}
