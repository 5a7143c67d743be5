import { HASH_FORMS } from './hash-forms.ts'
import { jsonLines, NO_LIMIT, namesOf, renderer, type SystemFormat, type SystemUser, tooLong } from './system-format.ts'

/** An object of a fixture. Without a primary key, `loaddata` finds a user by its username, and changes the one that exists. */
export interface DjangoUser {
  model: 'auth.user'
  fields: {
    username: string
    email: string
    password: string
    first_name: string
    last_name: string
    is_active: true
    is_staff: false
    is_superuser: false
    date_joined: string
  }
}

/**
 * A fixture for `manage.py loaddata users.jsonl`. Of Django's fixture formats, JSONL (Django 3.2) is the one that `loaddata` reads line
 * by line. Custom attributes stay out: `auth.user` has no place for them. Source: django/core/serializers, contrib/auth/models.py.
 */
export const django: SystemFormat<DjangoUser> = {
  ...jsonLines,
  hasPasswords: true,
  part: NO_LIMIT,
  render: renderer({
    ...HASH_FORMS.django,
    password: HASH_FORMS.django.write,
    fault: faultOf,
    object: userOf,
  }),
}

function faultOf(user: SystemUser): string | undefined {
  const { first = '', last = '' } = namesOf(user)
  const names = tooLong('first name', first, 150) ?? tooLong('last name', last, 150)
  return tooLong('username', user.username, 150) ?? tooLong('email', user.email, 254) ?? names
}

function userOf(user: SystemUser, password: string): DjangoUser {
  const { username, email, created_at } = user
  const { first = '', last = '' } = namesOf(user)
  const fields = { username, email, password, first_name: first, last_name: last, date_joined: created_at }
  return { model: 'auth.user', fields: { ...fields, is_active: true, is_staff: false, is_superuser: false } }
}
