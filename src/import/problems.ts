import type { Failure } from '../batches/failures.ts'
import { Problem } from '../errors.ts'
import type { RowFault } from './row.ts'

/** Maximum number of faults in a response. An upload with more usually has one in every row. */
export const MAX_ROW_FAULTS = 100

/** For an import with `on_conflict=fail` and invalid rows. Lists the first of them. */
export function importInvalid(faults: RowFault[]): Problem {
  const errors = faults.slice(0, MAX_ROW_FAULTS).map(({ n, code, member, message }) => ({
    path: member === '' ? `rows.${n}` : `rows.${n}.${member}`,
    code,
    message,
  }))
  const many = faults.length >= MAX_ROW_FAULTS ? `Only the first ${MAX_ROW_FAULTS} faults are listed. ` : ''
  return new Problem(
    'import_invalid',
    `${many}Nothing was imported. Correct the rows, or skip them with on_conflict=skip.`,
    { errors },
  )
}

const TAKEN: Partial<Record<Failure['code'], [member: string, message: string]>> = {
  id_taken: ['id', 'is taken by another user of the pool or by an earlier row'],
  username_taken: ['username', 'is taken by another user of the pool or by an earlier row'],
  email_taken: ['email', 'is taken by another user of the pool or by an earlier row'],
}

/** For an import with `on_conflict=fail` and a row that conflicts with another user or row. */
export function importConflict({ n, code }: Failure): Problem {
  const [member, message] = TAKEN[code] ?? ['id', 'was temporarily taken']
  const errors = [{ path: `rows.${n}.${member}`, code, message }]
  return new Problem('import_conflict', `Row ${n}: its ${member} ${message}. Nothing was imported.`, { errors })
}
