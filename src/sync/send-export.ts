import { pipeline, Readable, Transform } from 'node:stream'
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import type { Export } from '../export/exports.ts'
import { ZLIB_OPTIONS } from '../http/codings.ts'
import { callPeer, type Peer, type PeerAnswer } from './peer.ts'

const compress = promisify(zstdCompress)

/** How long a receiver may be silent while it takes an export: a full one of a million users takes PostgreSQL minutes. */
const SILENCE_MS = 300_000

interface Sending {
  path: string
  signal: AbortSignal
  /** Told of the bytes that go over the wire. */
  onBytes: (bytes: number) => void
}

/**
 * Sends an NDJSON export to a peer, compressed, at the pace at which that reads. Throws PeerError, the reason of `signal`, and
 * what the export itself failed with: that is no fault of the peer.
 */
export async function sendExport(
  peer: Peer,
  { body }: Export,
  { path, signal, onBytes }: Sending,
): Promise<PeerAnswer> {
  const source = 'text' in body ? Readable.from([await compress(body.text, ZLIB_OPTIONS)]) : body.stream
  const coding = 'text' in body ? 'zstd' : (body.encoded ?? 'identity')
  const counted = new Transform({
    transform(bytes: Buffer, _encoding, next) {
      onBytes(bytes.length)
      next(null, bytes)
    },
  })
  let ownFault: Error | undefined
  // Before `pipeline`, which destroys either stream with the error of the other.
  source.once('error', (error) => {
    if (!counted.destroyed) ownFault = error
  })
  pipeline(source, counted, () => {})
  try {
    const headers = {
      'content-type': 'application/x-ndjson',
      ...(coding !== 'identity' && { 'content-encoding': coding }),
    }
    return await callPeer(peer, { method: 'PUT', path, headers, body: counted, silenceMs: SILENCE_MS, signal })
  } catch (error) {
    throw ownFault ?? error
  } finally {
    counted.destroy() // a receiver may answer before it has read all
  }
}
