import { readFileSync } from 'node:fs'
import { type ConnectionOptions, createSecureContext, getCACertificates } from 'node:tls'
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
