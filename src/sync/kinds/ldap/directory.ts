import { addAbortListener, once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { Attribute, BerWriter, Change, Client, Control, EqualityFilter, OrFilter, ResultCodeError } from 'ldapts'
import { asPeerError, PeerError } from '../../../client/peer.ts'
import { withoutBrackets } from '../../../config/url.ts'
import { CODES, ResultError } from './faults.ts'

/* An LDAP connection: the requests of a sink, by ldapts. It is opened once: ldapts would reconnect by itself, without a login. */

/** How long a server may take to accept the connection and the login. Together with a run's start this stays below 5 s. */
const OPEN_MS = 4_000

/** How long a request may take. */
const REQUEST_MS = 30_000

/** How long the end of a connection may take. */
const CLOSE_MS = 1_000

/** An attribute with the value that an entry must have, so that a request is about the entry that is meant. */
export interface Mark {
  attribute: string
  value: string
}

/** Values by attribute. */
export type Attributes = Record<string, string[]>

/** An open connection. Each method throws ResultError, PeerError, or the reason of the signal. */
export interface Directory {
  isOpen(): boolean
  add(dn: string, attributes: Attributes): Promise<void>
  /** Replaces all values of the attributes; those without values are removed. Without the mark: `assertionFailed`. */
  replace(dn: string, mark: Mark, attributes: Attributes): Promise<void>
  /** Renames an entry below the same parent. Without the mark: `assertionFailed`. */
  rename(dn: string, mark: Mark, rdn: string): Promise<void>
  /** Removes an entry. Without the mark: `assertionFailed`. */
  remove(dn: string, mark: Mark): Promise<void>
  /** Returns the names of the entries below `base` that have one of the values. */
  find(base: string, attribute: string, values: string[]): Promise<{ dn: string; values: string[] }[]>
  /** Returns attributes of one entry, by name in lower case. */
  read(dn: string, attributes: string[]): Promise<Map<string, string[]>>
  compare(dn: string, mark: Mark): Promise<boolean>
  close(): Promise<void>
}

export interface DirectoryAddress {
  /** `ldap://host:port` or `ldaps://host:port`. */
  url: string
  bindDn: string
  password: string
  signal: AbortSignal
}

/** Connects and logs in. */
export async function openDirectory({ url, bindDn, password, signal }: DirectoryAddress): Promise<Directory> {
  signal.throwIfAborted()
  const socket = await openSocket(url, signal)
  const aborting = addAbortListener(signal, () => socket.destroy())
  // The socket is connected, with TLS if the url says so. ldapts only sends and receives.
  const client = new Client({ url: 'ldap://connected', timeout: REQUEST_MS, createConnection: () => socket })

  /** Sends a request. `attributes` are the names that the server's message may begin with. */
  async function run<Result>(request: () => Promise<Result>, attributes: string[] = []): Promise<Result> {
    if (!client.isBound) throw lost()
    try {
      return await request()
    } catch (error) {
      signal.throwIfAborted()
      throw requestFault(error, attributes)
    }
  }

  async function close(): Promise<void> {
    aborting[Symbol.dispose]()
    await Promise.race([client.unbind().catch(() => {}), sleep(CLOSE_MS, undefined, { ref: false })])
    socket.destroy()
  }

  const asserts = await logIn()

  /** Returns whether the server checks the mark together with a request (RFC 4528). Otherwise it is compared first. */
  async function logIn(): Promise<boolean> {
    const patience = AbortSignal.timeout(OPEN_MS)
    const late = addAbortListener(patience, () => socket.destroy())
    try {
      await client.bind(bindDn, password)
      const root = await client.search('', { scope: 'base', attributes: ['supportedControl'] }).catch(unlessRefused)
      return [root?.searchEntries[0]?.['supportedControl'] ?? []].flat().includes(Assertion.type)
    } catch (error) {
      await close()
      signal.throwIfAborted()
      if (patience.aborted) throw new PeerError('timeout', 'The server accepts the connection and does not answer.')
      throw loginFault(error)
    } finally {
      late[Symbol.dispose]()
    }
  }

  /** Sends a request about the entry that has the mark. */
  async function onMarked(
    dn: string,
    mark: Mark,
    request: (controls: Control[]) => Promise<void>,
    attributes?: string[],
  ): Promise<void> {
    if (asserts) return await run(() => request([new Assertion(mark)]), attributes)
    if (!(await compare(dn, mark))) throw new ResultError(CODES.assertionFailed)
    await run(() => request([]), attributes)
  }

  async function compare(dn: string, { attribute, value }: Mark): Promise<boolean> {
    try {
      return await run(() => client.compare(dn, attribute, value))
    } catch (error) {
      if (error instanceof ResultError && error.code === CODES.noSuchAttribute) return false
      throw error
    }
  }

  return {
    isOpen: () => client.isBound,
    add: (dn, attributes) => run(() => client.add(dn, attributes), Object.keys(attributes)),
    replace(dn, mark, attributes) {
      const changes = Object.entries(attributes).map(
        ([type, values]) => new Change({ operation: 'replace', modification: new Attribute({ type, values }) }),
      )
      return onMarked(dn, mark, (controls) => client.modify(dn, changes, controls), Object.keys(attributes))
    },
    rename: (dn, mark, rdn) => onMarked(dn, mark, (controls) => client.modifyDN(dn, rdn, controls)),
    remove: (dn, mark) => onMarked(dn, mark, (controls) => client.del(dn, controls)),
    async find(base, attribute, values) {
      const filters = values.map((value) => new EqualityFilter({ attribute, value }))
      const options = { filter: new OrFilter({ filters }), attributes: [attribute], timeLimit: REQUEST_MS / 1000 }
      const { searchEntries } = await run(() => client.search(base, options))
      return searchEntries.map((entry) => ({ dn: entry.dn, values: textsOf(entry).get(attribute.toLowerCase()) ?? [] }))
    },
    async read(dn, attributes) {
      const { searchEntries } = await run(() => client.search(dn, { scope: 'base', attributes }))
      const [entry] = searchEntries
      if (!entry) throw new ResultError(CODES.noSuchObject)
      return textsOf(entry)
    },
    compare,
    close,
  }
}

/** Opens a TCP or TLS connection. */
async function openSocket(url: string, signal: AbortSignal): Promise<Socket> {
  const { protocol, hostname, port } = new URL(url)
  const isTls = protocol === 'ldaps:'
  const host = withoutBrackets(hostname)
  const address = { host, port: Number(port || (isTls ? 636 : 389)), noDelay: true }
  const socket = isTls ? connectTls({ ...address, ...(isIP(host) === 0 && { servername: host }) }) : connect(address)
  const patience = AbortSignal.timeout(OPEN_MS)
  try {
    await once(socket, isTls ? 'secureConnect' : 'connect', { signal: AbortSignal.any([signal, patience]) })
    return socket
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    if (patience.aborted) throw new PeerError('unreachable', 'The server accepts no connection.')
    throw asPeerError(error)
  }
}

/** The assertion control (RFC 4528): the server refuses the request with 122 if the entry does not have the mark. */
class Assertion extends Control {
  static readonly type = '1.3.6.1.1.12'
  readonly #mark: Mark

  constructor(mark: Mark) {
    super(Assertion.type, { critical: true })
    this.#mark = mark
  }

  protected override writeControl(writer: BerWriter): void {
    const filter = new BerWriter()
    new EqualityFilter(this.#mark).write(filter)
    writer.writeBuffer(filter.buffer, 0x04)
  }
}

const textsOf = ({ dn: _, ...attributes }: Record<string, unknown>): Map<string, string[]> =>
  new Map(Object.entries(attributes).map(([name, values]) => [name.toLowerCase(), [values].flat().map(String)]))

const lost = () => new PeerError('unreachable', 'The server ended the connection.')

/** Returns undefined for what a server does not show to this login. */
function unlessRefused(error: unknown): undefined {
  if (!(error instanceof ResultCodeError)) throw error
}

/** Converts an error of ldapts. Its message may have the server's text. */
function requestFault(error: unknown, attributes: string[]): Error {
  if (error instanceof ResultCodeError) {
    const named = attributes.find((name) => error.message.toLowerCase().startsWith(`${name.toLowerCase()}:`))
    return new ResultError(error.code, named)
  }
  if (!(error instanceof Error) || error instanceof TypeError) throw error
  if (error.message.endsWith('timed out')) return new PeerError('timeout', 'The directory sends nothing.')
  return lost()
}

function loginFault(error: unknown): Error {
  const fault = requestFault(error, [])
  if (fault instanceof ResultError && fault.code === CODES.invalidDNSyntax)
    return new PeerError('refused', 'mapping.bind_dn: the directory does not accept it as a name.')
  if (!(fault instanceof PeerError)) return fault
  return new PeerError(
    'unreachable',
    'The server does not answer the login. A port for ldaps:// does not take ldap://.',
  )
}
