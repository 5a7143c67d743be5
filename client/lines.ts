/** Yields the lines of a text, without line ends. The last one may lack its line end. */
export async function* linesOf(texts: AsyncIterable<string>): AsyncGenerator<string, void, void> {
  let rest = ''
  for await (const text of texts) {
    const lines = text.split('\n')
    lines[0] = rest + lines[0]
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

/** An event of a stream (HTML standard, section 9.2, as far as usersync uses it). */
export interface ServerSentEvent {
  name: string
  id: string | undefined
  data: string
}

/** Yields the events of a stream. EventSource sends no headers, and the key is one. */
export async function* eventsOf(texts: AsyncIterable<string>): AsyncGenerator<ServerSentEvent, void, void> {
  let fields = new Map<string, string>()
  for await (const line of linesOf(texts)) {
    if (line !== '') {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
      fields.set(name, value)
      continue
    }
    const data = fields.get('data')
    if (data !== undefined) yield { name: fields.get('event') ?? 'message', id: fields.get('id'), data }
    fields = new Map()
  }
}
