import {
  Allowed,
  Ask,
  Badge,
  call,
  can,
  column,
  counted,
  duration,
  Empty,
  ErrorNotice,
  Facts,
  go,
  html,
  link,
  numberColumn,
  PagedTable,
  Path,
  shortId,
  Table,
  Time,
  timeColumn,
  useAction,
  useCall,
  usePages,
  useState,
  Waiting,
  words,
} from '../kit.js'
import { DryRunResult, Verified } from '../target/results.js'
import { TargetSettings } from '../target/settings.js'

/** @type {Column<TargetStatus>[]} */
export const TARGET_COLUMNS = [
  { title: 'Target', isWide: true, cell: ({ target }) => html`<a href=${link(['targets', target])}>${target}</a>` },
  { title: 'State', cell: ({ in_step }) => html`<${Badge} status=${in_step ? 'in_step' : 'not_in_step'} />` },
  { title: 'Last run', cell: ({ last_run }) => (last_run ? html`<${Badge} status=${last_run.status} />` : '–') },
  { title: 'At', cell: ({ last_run }) => html`<${Time} at=${last_run?.finished_at ?? null} />` },
  { title: 'Why not', cell: ({ remote_failure, last_run }) => remote_failure ?? last_run?.failure ?? '' },
]

/** Compares the states of all targets with ours, or that of one. Each look calls them. @returns {Live<{ items: TargetStatus[] }>} */
export const useTargets = (target = '', everyMs = 10_000) => useCall('v1/sync/status', { query: { target }, everyMs })

/** The systems that follow the pool, and whether they do. */
export function Targets() {
  const { data, error } = useTargets()
  if (!data) return html`<${Waiting} error=${error} />`
  const hasNone = data.items.length === 0
  return html`<div class="stack">
    <${ErrorNotice} error=${error} />
    ${
      hasNone
        ? html`<${Empty} title="No target yet">
          <p>A target is another usersync, or a system under test that keeps this pool's users.</p>
        <//>`
        : html`<${Table} caption="Targets" columns=${TARGET_COLUMNS} items=${data.items} id="target" />`
    }
    <${Allowed} scope="admin" what="Creating or changing a target">
      <details class="panel" open=${hasNone}>
        <summary>New target</summary>
        <${TargetSettings} onSaved=${(/** @type {string} */ name) => go(link(['targets', name]))} />
      </details>
    <//>
  </div>`
}

/** @param {{ id: string }} props One target: its state, what can be done, its runs and failures. */
export function Target({ id: name }) {
  const path = `v1/targets/${encodeURIComponent(name)}`
  const { data, error, refresh } = useTargets(name, 3_000)
  const [actions, setActions] = useState(0)
  const isAdmin = can('admin')
  const { data: settings, refresh: readSettings } = useCall(isAdmin && path)
  const status = data?.items[0]
  if (!data) return html`<${Waiting} error=${error} />`
  if (!status) return html`<p>There is no target ${name} that the key may see.</p>`
  return html`<div class="stack">
    <${Path} view="targets" title="Targets" name=${name} />
    <section class="panel">
      <div class="heading"><h2>${name}</h2><${Badge} status=${status.in_step ? 'in_step' : 'not_in_step'} /></div>
      ${status.remote_failure && html`<p class="notice warn">Its state is unknown: ${status.remote_failure}</p>`}
      <${Facts} facts=${[
        ...(settings
          ? [
              ['Kind', settings.kind],
              [
                'Pushed every',
                settings.interval_seconds === null ? 'on request only' : duration(settings.interval_seconds),
              ],
              ['Address', html`<span class="wrap">${settings.url}</span>`],
            ]
          : []),
        ['State here', html`<code class="wrap">${status.local_state}</code>`],
        ['State there', html`<code class="wrap">${status.remote_state ?? 'unknown'}</code>`],
      ]} />
      <${Actions} name=${name} path=${path} isSink=${settings && settings.kind !== 'usersync'} becomesReplica=${status.becomes_replica} refresh=${() => {
        refresh()
        setActions(actions + 1)
      }} />
    </section>
    ${
      settings &&
      html`<details class="panel" key=${settings.updated_at}>
      <summary>Settings</summary>
      <${TargetSettings} target=${settings} onSaved=${() => {
        readSettings()
        refresh()
      }} />
    </details>`
    }
    <${Failures} path=${path} />
    <${Runs} key=${actions} name=${name} />
  </div>`
}

/** @param {{ name: string, path: string, isSink: boolean | undefined, becomesReplica: boolean, refresh: () => void }} props `isSink` undefined: the key may not know. */
function Actions({ name, path, isSink, becomesReplica, refresh }) {
  const { isBusy, error, run } = useAction()
  const [result, setResult] = useState(/** @type {any} */ (undefined))
  const button = (
    /** @type {string} */ text,
    /** @type {string} */ route,
    /** @type {object} */ body,
    isShown = false,
  ) =>
    html`<button type="button" disabled=${isBusy} onClick=${() =>
      run(async () => {
        setResult(undefined)
        const answer = await call('POST', route, { body: { target: name, ...body } })
        if (isShown) setResult(answer)
        refresh()
      })}>${text}</button>`
  const sync = (/** @type {string} */ text, /** @type {object} */ body) =>
    becomesReplica
      ? html`<${Ask} text=${`${text}…`} isMild title="Make the pool there a replica?" action="Send the users" run=${() => call('POST', 'v1/sync', { body: { target: name, ...body } }).then(refresh)}>
        <p>The pool there is empty, and no replica yet. This run makes it a replica of everything: then it takes users from here only, and refuses every other change.</p>
        <p>For a replica of test users, make it one there first.</p>
      <//>`
      : button(text, 'v1/sync', body)
  const [mayWrite, isAdmin] = [can('users:write'), can('admin')]
  return html`<div class="stack">
    <div class="actions">
      ${mayWrite && html`${sync('Sync now', {})} ${sync('Send everything', { full: true })}`}
      ${isSink === true && isAdmin && button('Dry run', 'v1/sync', { dry_run: true }, true)}
      ${isSink === false && button('Verify', 'v1/sync/verify', {}, true)}
      ${
        isSink === true &&
        mayWrite &&
        html`<${Ask} text="Remove our users there…" title=${`Remove our users from ${name}?`} action="Remove them" run=${() => call('POST', `${path}/clear`).then(refresh)}>
        <p>A run removes what we put there, and nothing else. It ends the interval of the target.</p>
      <//>`
      }
      ${
        isAdmin &&
        html`<${Ask} text="Delete the target…" title=${`Delete the target ${name}?`} action="Delete" run=${() => call('DELETE', path).then(() => go(link(['targets'])))}>
        <p>Its runs go, too. Users that are there stay there.${isSink && ' Remove our users there first.'}</p>
      <//>`
      }
    </div>
    <${Allowed} scope="users:write" what="Pushing to a target">
      <p class="muted small">Sync now sends what the target lacks. Send everything sends all users, whatever it has: for a target that somebody else changed.</p>
    <//>
    <div role="status">${isBusy && 'Working…'}</div>
    <${ErrorNotice} error=${error} />
    ${result && (result.dry_run ? html`<${DryRunResult} result=${result} />` : html`<${Verified} result=${result} />`)}
  </div>`
}

/** @param {{ name: string }} props */
function Runs({ name }) {
  const pages = usePages('v1/sync/runs', { query: { target: name }, everyMs: 2_000 })
  return html`<section class="panel">
    <h2>Runs</h2>
    <${PagedTable} caption="Runs" columns=${RUN_COLUMNS} pages=${pages} empty=${html`<p class="muted">None yet. Sync now makes one.</p>`} />
  </section>`
}

/** @type {Column<Run>[]} */
const RUN_COLUMNS = [
  timeColumn('At', 'created_at'),
  { title: 'Status', cell: ({ status }) => html`<${Badge} status=${status} />` },
  { title: 'What', cell: ({ clear, full, kind }) => (clear ? 'clear' : (kind ?? (full ? 'full' : '–'))) },
  numberColumn('Added', 'added_count'),
  numberColumn('Updated', 'updated_count'),
  numberColumn('Deleted', 'deleted_count'),
  numberColumn('Sent', 'sent_count'),
  { title: 'Took', isNumber: true, cell: ({ duration_ms: took }) => (took === null ? '–' : duration(took / 1000)) },
  {
    title: 'Canary',
    cell: ({ canary }) =>
      canary === null
        ? '–'
        : `${canary.ok ? 'ok' : 'failed'}, ${counted(canary.users, 'login')}, ${canary.first_login_ms ?? '–'} ms${canary.rehash_suspected ? ', hashes again' : ''}`,
  },
  { title: 'Why not', isWide: true, cell: ({ failure, detail }) => detail ?? failure ?? '' },
]

/** @param {{ path: string }} props The users that the target refused. */
function Failures({ path }) {
  const pages = usePages(`${path}/failures`, { id: 'user_id', everyMs: 5_000 })
  if (pages.items?.length === 0) return null
  return html`<section class="panel">
    <h2>Users that it refused</h2>
    <${PagedTable} caption="Failures" columns=${FAILURE_COLUMNS} pages=${pages} empty=${null} />
  </section>`
}

/** @type {Column<Refusal>[]} */
const FAILURE_COLUMNS = [
  {
    title: 'User',
    cell: ({ user_id, username }) => html`<a href=${link(['users', user_id])}>${username ?? shortId(user_id)}</a>`,
  },
  column('Operation', 'operation'),
  { title: 'Why', isWide: true, cell: ({ code, detail }) => html`${words(code)}: ${detail}` },
  timeColumn('Tried', 'tried_at'),
]
