import type { Failure } from '../batches/failures.ts'
import { Problem } from '../errors.ts'
import type { RowFault } from './row.ts'

/** So many faults are told; who has more of them has one in every row. */
export const MOST_FAULTS = 100

/** For an import that takes all rows or none, and met some that cannot be taken. The first of them are told. */
export function importInvalid(faults: RowFault[]): Problem {
  const errors = faults.slice(0, MOST_FAULTS).map(({ n, code, member, message }) => ({
    path: member === '' ? `rows.${n}` : `rows.${n}.${member}`,
    code,
    message,
  }))
  const many = faults.length >= MOST_FAULTS ? `The first ${MOST_FAULTS} faults are told. ` : ''
  return new Problem(
    'import_invalid',
    `${many}Nothing was kept. Mend the rows, or leave them out by on_conflict=skip.`,
    { errors },
  )
}

const TAKEN: Partial<Record<Failure['code'], [member: string, message: string]>> = {
  id_taken: ['id', 'is taken by another user of the pool, or an earlier row'],
  username_taken: ['username', 'is taken by another user of the pool, or an earlier row'],
  email_taken: ['email', 'is taken by another user of the pool, or an earlier row'],
}

/** For an import that takes all rows or none, and met one that is in the way of another. */
export function importConflict({ n, code }: Failure): Problem {
  const [member, message] = TAKEN[code] ?? ['id', 'was taken for a moment']
  const errors = [{ path: `rows.${n}.${member}`, code, message }]
  return new Problem('import_conflict', `Row ${n}: its ${member} ${message}. Nothing was kept.`, { errors })
}
