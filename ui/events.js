import { piecesOf, send } from './api.js'
import { sleep, watched, whenWatched } from './live.js'

/**
 * Follows a batch by server-sent events until it ends or the signal aborts. EventSource sends no headers, and the key goes by header, so
 * this reads the stream itself (HTML standard, section 9.2). A broken stream continues with `Last-Event-ID`. While the tab is hidden or
 * paused there is no stream: browsers open at most six connections to a server, for all tabs together.
 *
 * @param {string} id
 * @param {{ signal: AbortSignal, onBatch: (batch: BatchItem) => void }} options
 */
export async function followBatch(id, { signal, onBatch }) {
  let lastEventId = ''
  for (let failures = 0; !signal.aborted; ) {
    await whenWatched(signal)
    if (signal.aborted) return
    const unwatched = new AbortController()
    const end = watched.subscribe(() => unwatched.abort())
    try {
      const response = await send('GET', `v1/batches/${id}/events`, {
        signal: AbortSignal.any([signal, unwatched.signal]),
        headers: lastEventId ? { 'last-event-id': lastEventId } : {},
      })
      for await (const event of eventsOf(response)) {
        failures = 0
        lastEventId = event.id || lastEventId
        onBatch(JSON.parse(event.data))
        if (event.name === 'end') return
      }
    } catch (error) {
      if (signal.aborted) return
      const status = /** @type {{ status?: number }} */ (error).status
      if (status === 404 || status === 401 || status === 403) return
      failures++
    } finally {
      end()
    }
    if (watched.get()) await sleep(Math.min(10_000, 1_000 * 2 ** failures), signal)
  }
}

/** @param {Response} response */
async function* eventsOf(response) {
  let text = ''
  for await (const piece of piecesOf(response)) {
    text += piece
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => /** @type {[string, string]} */ (line.split(/: ?(.*)/s))))
      const data = fields.get('data')
      if (data !== undefined) yield { name: fields.get('event') ?? 'message', id: fields.get('id') ?? '', data }
    }
  }
}
