import { derivePassword } from './derive.ts'

/** The password of a credential: the secret of its batch, or a password derived from it for the credential. */
export function passwordOf(mode: 'shared' | 'per_user', secret: string, credentialId: string): string {
  return mode === 'shared' ? secret : derivePassword(secret, credentialId)
}
