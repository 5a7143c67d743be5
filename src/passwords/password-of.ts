import { derivePassword } from './derive.ts'

/** The password of a credential, from the secret of its batch: the secret itself, or one derived for the credential. */
export function passwordOf(mode: 'shared' | 'per_user', secret: string, credentialId: string): string {
  return mode === 'shared' ? secret : derivePassword(secret, credentialId)
}
