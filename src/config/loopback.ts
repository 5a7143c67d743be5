import { withoutBrackets } from './url.ts'

/** Whether only this machine can reach a listen address. Host names are case-insensitive. */
export const isLoopback = (host: string) => /^(localhost|::1|127(\.\d{1,3}){3})$/i.test(host)

/** Whether a key for this URL crosses a network unencrypted. */
export function isCleartext(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return /^(http|ldap):$/.test(protocol) && !isLoopback(withoutBrackets(hostname))
}
