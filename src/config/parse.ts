import { parseDatabaseUrl } from '../database/database-url.ts'
import { asciiDomain } from './reserved-domain.ts'

/* Parsers for the values of settings. Each throws an Error whose message says what it expects. */

/** An integer within these bounds, inclusive. */
export const integer = (least: number, most: number) => (text: string) => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new Error(`expects a whole number from ${least} to ${most}`)
  return value
}

/** One of these values. */
export const oneOf =
  <const Value extends string>(...values: Value[]) =>
  (text: string) => {
    const value = values.find((candidate) => candidate === text)
    if (value === undefined) throw new Error(`expects one of ${values.join(', ')}`)
    return value
  }

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** A duration such as `90s`, `12h` or `30d`, in seconds. */
export const duration = (text: string) => {
  const [, amount = '', unit = ''] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  if (amount === '') throw new Error('expects a whole number and s, m, h or d, such as 90s or 30d')
  return Number(amount) * SECONDS[unit as keyof typeof SECONDS]
}

/** A text that matches the pattern. */
export const matching = (pattern: RegExp, expectation: string) => (text: string) => {
  if (!pattern.test(text)) throw new Error(`expects ${expectation}`)
  return text
}

/** A PostgreSQL URL, or empty for none. The error never contains the URL. */
export const databaseUrl = (text: string) => {
  if (text !== '') parseDatabaseUrl(text)
  return text
}

/** URLs of standbys, separated by commas, or empty for none. The error never contains a URL. */
export const standbyUrls = (text: string) => {
  const list = text === '' ? [] : text.split(/\s*,\s*(?=postgres(?:ql)?:\/\/)/)
  if (list.some((url) => parseDatabaseUrl(url).requirePrimary))
    throw new Error('expects one host in each URL, and no target_session_attrs: a standby is no primary')
  return list
}

/** The URL of a collector, or empty for none. */
export const collectorUrl = (text: string) => {
  if (text !== '' && !(/^https?:\/\/./.test(text) && URL.canParse(text)))
    throw new Error('expects http:// or https:// and a host, such as http://localhost:4318')
  return text
}

/** Domains in their DNS form, separated by commas. */
export const domains = (text: string) => {
  const list = text.split(',').map((domain) => asciiDomain(domain.trim()))
  if (!list.every((domain) => /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(domain)))
    throw new Error('expects domains, separated by commas')
  return list
}

/** Host names and addresses in lower case, separated by commas, or empty for none. */
export const hosts = (text: string) => {
  const list = text === '' ? [] : text.split(',').map((host) => host.trim().toLowerCase())
  if (!list.every((host) => /^[\w.:-]+$/.test(host)))
    throw new Error('expects host names or addresses, separated by commas')
  return list
}

/** 64 hexadecimal digits, or empty for none. */
export const encryptionKey = (text: string) => {
  if (text !== '' && !/^[0-9a-f]{64}$/i.test(text))
    throw new Error('expects 64 hexadecimal digits (openssl rand -hex 32)')
  return text
}
