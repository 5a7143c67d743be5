import { readFileSync } from 'node:fs'
import { type ConnectionOptions, createSecureContext, getCACertificates, TLSSocket } from 'node:tls'
import type { ServerSocket } from 'postgres'
import type { DatabaseAddress } from './database-url.ts'

/**
 * Returns how the driver secures a connection: `false` (no TLS), `prefer` (TLS if the server offers it), or Node's TLS
 * options. As in libpq, `prefer` and `require` encrypt and accept any certificate, `verify-ca` requires one of a
 * trusted CA, and `verify-full` also checks the host name. Trusted CAs are those of `sslrootcert`, or those of Node and
 * of the machine. A Unix socket needs no TLS. Throws an Error if a file cannot be used.
 */
export function tlsOptions(address: DatabaseAddress): false | 'prefer' | ConnectionOptions {
  const { sslMode, hosts } = address
  if (sslMode === 'disable' || (hosts.length > 0 && hosts.every(({ host }) => host.startsWith('/')))) return false
  const { sslRootCert, sslCert, sslKey, sslPassword } = address
  if (sslMode === 'prefer' || sslMode === 'allow') return 'prefer'
  const verify = sslMode === 'verify-ca' || sslMode === 'verify-full'
  try {
    return {
      secureContext: createSecureContext({
        ca:
          sslRootCert === undefined || sslRootCert === 'system'
            ? [...getCACertificates('default'), ...getCACertificates('system')]
            : readFileSync(sslRootCert),
        ...(sslCert && { cert: readFileSync(sslCert) }),
        ...(sslKey && { key: readFileSync(sslKey) }),
        ...(sslPassword && { passphrase: sslPassword }),
      }),
      rejectUnauthorized: verify,
      ...(sslMode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw new Error(`a certificate or key that DATABASE_URL names cannot be used (${code ?? message})`, { cause })
  }
}

/**
 * Authentication requests of a server: https://www.postgresql.org/docs/current/protocol-message-formats.html
 * (AuthenticationOk and the following).
 */
const OK = 0
const CLEARTEXT_PASSWORD = 3
const MD5_PASSWORD = 5
const SASL_CONTINUE = 11

/** PostgreSQL uses 4,096. Billions of iterations would block the event loop. */
const MAX_SCRAM_ITERATIONS = 1_000_000

/**
 * Returns why an authentication request must not be answered, or undefined. Another process on the port of a stopped
 * server could request the password in clear (type 3), or an MD5 digest, which is as good as the password (type 5). The
 * driver answers both over a Unix socket or the TLS that `sslmode` requires, and never over a connection that others
 * can read.
 */
export function refuseAuthentication({ sslMode, requireScram }: DatabaseAddress) {
  const requiresTls = sslMode !== 'prefer' && sslMode !== 'allow'
  return (message: Buffer, socket: ServerSocket, hasVerifiedServer: boolean): Error | undefined => {
    const type = message.readUInt32BE(5)
    const isPrivate = socket.server.host.startsWith('/') || (requiresTls && socket instanceof TLSSocket)
    if ((type === CLEARTEXT_PASSWORD || type === MD5_PASSWORD) && (requireScram || !isPrivate)) {
      const what = type === MD5_PASSWORD ? 'an MD5 digest of the password' : 'the password in clear'
      return refusal(
        `the database server requests ${what}, which is not sent: require TLS (sslmode=verify-full), or let PostgreSQL store the password as scram-sha-256`,
      )
    }
    if (type === OK && requireScram && !hasVerifiedServer) {
      return refusal('the database server did not prove that it knows the password, which require_auth requires')
    }
    if (type === SASL_CONTINUE && !hasUsableIterations(message)) {
      return refusal('the database server sent an invalid SCRAM challenge')
    }
    return undefined
  }
}

function hasUsableIterations(message: Buffer): boolean {
  const [, iterations] = /,i=(\d{1,7})$/.exec(message.toString('latin1', 9)) ?? []
  return Number(iterations) >= 1 && Number(iterations) <= MAX_SCRAM_ITERATIONS
}

const refusal = (message: string) => Object.assign(new Error(message), { code: 'CONNECTION_AUTHENTICATION_REFUSED' })
