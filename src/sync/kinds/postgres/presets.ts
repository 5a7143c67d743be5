import type { HashFormName } from '../../../systems/hash-forms.ts'
import type { TablesMapping } from './mapping.ts'

const hashOf = (form: HashFormName) => ({ $member: 'password_hash', form })

/**
 * The tables of systems under test. Sources: django/contrib/auth/models.py; better-auth 1.7 schema; heartcombo/devise migration
 * template; laravel/framework create_users_table; spring-security users.ddl; supabase/auth @bc32168 models/user.go.
 */
export const PRESETS: Record<string, TablesMapping> = {
  django: {
    tables: [
      {
        table: 'auth_user',
        columns: {
          username: '{username}',
          email: '{email}',
          password: hashOf('django'),
          first_name: '',
          last_name: '',
          is_staff: false,
          is_superuser: false,
          is_active: true,
          date_joined: '{created_at}',
        },
        key: ['username'],
        returning: 'id',
      },
    ],
  },
  'better-auth': {
    tables: [
      {
        table: 'user',
        columns: {
          id: '{id}',
          name: '{username}',
          email: '{email}',
          emailVerified: true,
          createdAt: '{created_at}',
          updatedAt: '{updated_at}',
        },
        key: ['id'],
      },
      {
        table: 'account',
        columns: {
          id: '{id}',
          accountId: '{id}',
          providerId: 'credential',
          userId: '{id}',
          password: hashOf('better-auth'),
          createdAt: '{created_at}',
          updatedAt: '{updated_at}',
        },
        key: ['id'],
      },
    ],
  },
  devise: {
    tables: [
      {
        table: 'users',
        columns: {
          email: '{email}',
          encrypted_password: hashOf('devise'),
          created_at: '{created_at}',
          updated_at: '{updated_at}',
        },
        key: ['email'],
        returning: 'id',
      },
    ],
  },
  laravel: {
    tables: [
      {
        table: 'users',
        columns: {
          name: '{username}',
          email: '{email}',
          email_verified_at: '{created_at}',
          password: hashOf('laravel'),
          created_at: '{created_at}',
          updated_at: '{updated_at}',
        },
        key: ['email'],
        returning: 'id',
      },
    ],
  },
  'spring-security': {
    tables: [
      {
        table: 'users',
        columns: {
          username: '{username}',
          password: hashOf('spring-security'),
          enabled: true,
        },
        key: ['username'],
      },
      {
        table: 'authorities',
        columns: { username: '{username}', authority: 'ROLE_USER' },
        key: ['username', 'authority'],
      },
    ],
  },
  gotrue: {
    tables: [
      {
        table: 'auth.users',
        columns: {
          id: '{id}',
          instance_id: '00000000-0000-0000-0000-000000000000',
          aud: 'authenticated',
          role: 'authenticated',
          email: '{email}',
          encrypted_password: hashOf('gotrue'),
          email_confirmed_at: '{created_at}',
          raw_app_meta_data: { provider: 'email', providers: ['email'] },
          raw_user_meta_data: {},
          created_at: '{created_at}',
          updated_at: '{updated_at}',
          is_sso_user: false,
          is_anonymous: false,
          // GoTrue reads these into Go strings: null breaks the login.
          confirmation_token: '',
          recovery_token: '',
          email_change: '',
          email_change_token_new: '',
        },
        key: ['id'],
      },
      {
        table: 'auth.identities',
        columns: {
          provider_id: '{id}',
          user_id: '{id}',
          provider: 'email',
          identity_data: { sub: '{id}', email: '{email}', email_verified: true },
          created_at: '{created_at}',
          updated_at: '{updated_at}',
        },
        key: ['provider_id', 'provider'],
        returning: 'id',
      },
    ],
  },
}
