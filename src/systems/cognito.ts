import { namesOf, type Rendering, type SystemFormat, type SystemUser } from './system-format.ts'

/** The columns of a user pool without custom attributes. */
const COLUMNS = [
  'cognito:username',
  'name',
  'given_name',
  'family_name',
  'middle_name',
  'nickname',
  'preferred_username',
  'profile',
  'picture',
  'website',
  'email',
  'email_verified',
  'gender',
  'birthdate',
  'zoneinfo',
  'locale',
  'phone_number',
  'phone_number_verified',
  'address',
  'updated_at',
  'cognito:mfa_enabled',
] as const

type CognitoUser = Partial<Record<(typeof COLUMNS)[number], string>>

const MAX_ROW = 16_000

/**
 * The CSV of a user import job. It has no passwords: Cognito imports none, and each user has to reset its own. Cognito's CSV has no
 * quotes: `\,` is a comma in a value. Source: awsdocs/amazon-cognito-developer-guide using-import-tool-csv-header.md @0b4d546.
 */
export const cognito: SystemFormat<CognitoUser> = {
  mediaType: 'text/csv',
  hasPasswords: false,
  part: { users: 500_000, bytes: 100_000_000 },
  render,
  write: (user) => `${rowOf(user)}\n`,
  head: () => `${COLUMNS.join(',')}\n`,
  separator: '',
  tail: '',
}

function render(user: SystemUser): Rendering<CognitoUser> {
  const { username, email, updated_at } = user
  const { first = '', last = '' } = namesOf(user)
  const rendered: CognitoUser = {
    'cognito:username': username,
    given_name: first,
    family_name: last,
    email,
    email_verified: 'true',
    phone_number_verified: 'false',
    updated_at: String(Math.floor(Date.parse(updated_at) / 1000)),
    'cognito:mfa_enabled': 'false',
  }
  const fault = faultOf(rendered)
  if (fault === undefined) return { rendered }
  return { refusal: { code: 'value_invalid', detail: `Cognito does not take the user: ${fault}.` } }
}

/** Cognito documents no way to write these characters, so a value with one could be read as another value. */
const UNWRITABLE = /["\\\p{Cc}]/u

function faultOf(user: CognitoUser): string | undefined {
  if (/\s/.test(user['cognito:username'] ?? '')) return 'username has a blank'
  const [unwritable] = Object.entries(user).find(([, value]) => UNWRITABLE.test(value)) ?? []
  if (unwritable !== undefined) return `${unwritable} has a quote, a backslash or a control character`
  return rowOf(user).length > MAX_ROW ? `its row has more than ${MAX_ROW} characters` : undefined
}

function rowOf(user: CognitoUser): string {
  return COLUMNS.map((column) => (user[column] ?? '').trim().replaceAll(',', '\\,')).join(',')
}
