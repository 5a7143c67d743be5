/* Types of the page's own modules. Only `npm run check` reads this file; it is not served. */

declare global {
  /** What an element may contain. */
  type Children = import('./vendor/preact.mjs').ComponentChildren

  /** Members that are undefined or empty are left out. */
  type Params = Record<string, string | number | boolean | undefined>

  /** The address after the #, such as `#/batches/5f…?status=running&pool=shop`. It is all that a link to a view contains: never a key. */
  interface Route {
    path: string[]
    params: Record<string, string>
  }

  interface ApiRequest {
    query?: Params | undefined
    body?: object
    headers?: Record<string, string>
    signal?: AbortSignal | undefined
    /** null: the route takes no pool. Default: the pool of the address. */
    pool?: string | null | undefined
  }

  /** Sends a request. `path`: for example `v1/batches`. */
  type Send<Answer> = (method: string, path: string, request?: ApiRequest) => Promise<Answer>

  /** What was read last, and what went wrong since. */
  interface Live<Data> {
    data: Data | undefined
    error: Error | undefined
    refresh: () => void
  }

  /** A value that several components show. */
  interface Store<Value> {
    get: () => Value
    set: (value: Value) => void
    subscribe: (listener: () => void) => () => void
  }

  interface Session {
    /** `none`: not known yet. `key_needed`: the service asks for a key, or rejected the one sent. */
    status: 'none' | 'key_needed' | 'ready'
    me: { name: string | null; scopes: Scope[]; pools: { name: string; scopes: Scope[] }[] } | undefined
  }

  /** A view of the page. */
  interface ViewEntry {
    /** The first part of its address. */
    name: string
    title: string
    /** What a key needs to see anything there. */
    scope: Scope
    /** Another scope that is enough. */
    or?: Scope
    View: (props: { stats: PoolStats | undefined; statsError: Error | undefined }) => Children
    /** Shows one thing, whose id or name is the second part of the address. */
    Detail?: (props: { id: string }) => Children
    count?: (stats: PoolStats) => number
  }

  interface Column<Item> {
    title: string
    cell: (item: Item) => Children
    isNumber?: boolean
    /** Takes the room that is left. */
    isWide?: boolean
  }

  /** Makes the column of a member. */
  type ColumnOf = <Item>(title: string, member: keyof Item & string, more?: Partial<Column<Item>>) => Column<Item>

  interface TableProps<Item> {
    caption: string
    columns: Column<Item>[]
    items: Item[]
    /** The member by which two items differ; default: `id`. */
    id?: string
  }

  interface PagedTableProps<Item> extends Omit<TableProps<Item>, 'items' | 'id'> {
    pages: Pages<Item>
    /** Instead of a table without rows. */
    empty: Children
  }

  interface PagesOptions<Item> {
    query?: Params | undefined
    /** null: a listing of all pools. */
    pool?: null | undefined
    /** The member by which two items differ; default: `id`. */
    id?: string
    gone?: (item: Item) => Item
    everyMs?: number
  }

  /** A page of a listing, and the way to the others. */
  interface Pages<Item> {
    items: Item[] | undefined
    id: string
    error: Error | undefined
    newCount: number
    hasMoreNew: boolean
    showNew: () => void
    next: (() => void) | undefined
    previous: (() => void) | undefined
    first: (() => void) | undefined
  }

  /** The values of several series at a time. */
  interface Sample {
    at: number
    values: number[]
  }

  interface Option {
    value: string
    text: string
  }

  /** Other members are attributes of the input. */
  interface FieldProps {
    label: string
    value: string
    onInput: (value: string) => void
    hint?: Children
    faults?: string[]
    /** Makes it a select. */
    options?: Option[]
    /** Makes it a text area. */
    rows?: number
    [attribute: string]: unknown
  }

  interface Question {
    title: string
    /** The text of the button that does it. */
    action: string
    /** Has to be typed first. */
    count?: number | undefined
    children?: Children
  }

  interface AskProps extends Partial<Question> {
    /** The text of the button that asks. */
    text: string
    /** May throw: the dialog shows the error and stays. */
    run: () => Promise<unknown>
    /** Reads what the question needs to know. */
    look?: () => Promise<Partial<Question>>
    disabled?: boolean
    /** Whether nothing is lost by it. */
    isMild?: boolean
  }

  interface FormProps {
    /** The text of the button. */
    text: string
    disabled?: boolean
    action: ReturnType<typeof import('./parts/form.js').useAction>
    work: () => unknown
    /** The faults that have no field. */
    others?: () => FieldFault[]
    children: Children
  }

  /** What a field of a form needs to know of its text. */
  type FieldOf<Form> = (name: keyof Form & string, path?: string) => Pick<FieldProps, 'value' | 'onInput' | 'faults'>

  /** The value of a text. What is wrong with it goes into `faults`, under the path of the member in the body. */
  // biome-ignore lint/suspicious/noExplicitAny: it may be any JSON
  type ReadText = (text: string, path: string, faults: FieldFault[]) => any
}

export {}
