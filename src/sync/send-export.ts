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

/** Sends an NDJSON export to a peer, compressed, at the pace at which that reads. Throws PeerError, and `signal`'s reason. */
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
  pipeline(source, counted, () => {}) // a fault of the source breaks the request, which tells it
  try {
    const headers = {
      'content-type': 'application/x-ndjson',
      ...(coding !== 'identity' && { 'content-encoding': coding }),
    }
    return await callPeer(peer, { method: 'PUT', path, headers, body: counted, silenceMs: SILENCE_MS, signal })
  } finally {
    counted.destroy() // a receiver may answer before it has read all
  }
}
