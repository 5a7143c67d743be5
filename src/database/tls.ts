import { readFileSync } from 'node:fs'
import { type ConnectionOptions, createSecureContext, getCACertificates } from 'node:tls'
import type { DatabaseAddress } from './database-url.ts'

/**
 * How the driver secures a connection: not at all, if the server offers it (`prefer`), or always, by these options of Node's.
 * `prefer` and `require` encrypt and trust any certificate, as in libpq; `verify-ca` needs one of a trusted CA, `verify-full`
 * also for the name of the host. Trusted are the CAs of `sslrootcert`, else those of Node and of the machine. A Unix socket
 * needs no TLS. Throws an Error if a file cannot be used.
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
