import { json, whole } from '../kit.js'

/** The texts of the form. Empty: the setting of the template, or the default. */
export const EMPTY_FORM = {
  ...{ count: '1000', label: '', template: 'default', expires: '', expiresUnit: '86400' },
  ...{ username_pattern: '', email_domain: '', role: '', custom_attributes: '' },
  ...{ password_mode: '', password: '', preset: '', distinct: '', totp: '' },
  ...{ locale: '', seed: '', epoch: '' },
}

/** @typedef {typeof EMPTY_FORM} Form */

/**
 * The body of POST /v1/batches, and what in it is not even a number or JSON. The service finds every other fault.
 *
 * @param {Form} form
 * @returns {{ body: Record<string, any>, faults: FieldFault[] }}
 */
export function batchBody(form) {
  /** @type {FieldFault[]} */
  const faults = []
  const { template, label, seed, locale, epoch, username_pattern, email_domain, password_mode, password } = form
  const hash = {
    ...(form.preset && { preset: form.preset }),
    ...(form.distinct && { distinct: whole(form.distinct, 'config.password_hash.distinct', faults) }),
  }
  const config = {
    ...given({ username_pattern, email_domain, password_mode, password, locale, seed, epoch }),
    ...(form.role && { role: form.role.startsWith('{') ? json(form.role, 'config.role', faults) : form.role }),
    ...(form.custom_attributes.trim() && {
      custom_attributes: json(form.custom_attributes, 'config.custom_attributes', faults),
    }),
    ...(Object.keys(hash).length > 0 && { password_hash: hash }),
    ...(form.totp && { totp: form.totp === 'true' }),
  }
  const body = {
    count: whole(form.count, 'count', faults),
    ...(label && { label }),
    ...(template !== 'default' && { template }),
    ...(form.expires && { expires_in: (whole(form.expires, 'expires_in', faults) ?? 0) * Number(form.expiresUnit) }),
    ...(Object.keys(config).length > 0 && { config }),
  }
  return { body, faults }
}

/** @param {Record<string, string>} members The members that are not empty. */
const given = (members) => Object.fromEntries(Object.entries(members).filter(([, text]) => text !== ''))

/** The body as it may be shown: without the password. */
export const withoutPassword = (/** @type {Record<string, any>} */ body) =>
  body['config']?.password ? { ...body, config: { ...body['config'], password: '<the password>' } } : body
