/** The texts of the form. Empty: the setting of the template, or the default. */
export const EMPTY_FORM = {
  ...{ count: '1000', label: '', template: 'default', expires: '', expiresUnit: '86400' },
  ...{ username_pattern: '', email_domain: '', role: '', custom_attributes: '' },
  ...{ password_mode: '', password: '', preset: '', distinct: '', totp: '' },
  ...{ locale: '', seed: '', epoch: '' },
}

/** @typedef {typeof EMPTY_FORM} Form */

/**
 * The body of POST /v1/batches that the form stands for, and what in it is not even a number or JSON. The service finds every other fault.
 *
 * @param {Form} form
 * @returns {{ body: Record<string, any>, faults: FieldFault[] }}
 */
export function batchBody(form) {
  /** @type {FieldFault[]} */
  const faults = []
  const whole = (/** @type {string} */ text, /** @type {string} */ path) => {
    const value = Number(text.replaceAll(/[\s,_]/g, ''))
    if (Number.isSafeInteger(value) && text.trim() !== '') return value
    faults.push({ path, code: 'type', message: 'must be a whole number' })
    return undefined
  }
  const { template, label, seed, locale, epoch, username_pattern, email_domain, password_mode, password } = form
  const hash = {
    ...(form.preset && { preset: form.preset }),
    ...(form.distinct && { distinct: whole(form.distinct, 'body.config.password_hash.distinct') }),
  }
  const config = {
    ...given({ username_pattern, email_domain, password_mode, password, locale, seed, epoch }),
    ...(form.role && { role: form.role.startsWith('{') ? json(form.role, 'body.config.role', faults) : form.role }),
    ...(form.custom_attributes.trim() && {
      custom_attributes: json(form.custom_attributes, 'body.config.custom_attributes', faults),
    }),
    ...(Object.keys(hash).length > 0 && { password_hash: hash }),
    ...(form.totp && { totp: form.totp === 'true' }),
  }
  const body = {
    count: whole(form.count, 'body.count'),
    ...(label && { label }),
    ...(template !== 'default' && { template }),
    ...(form.expires && { expires_in: (whole(form.expires, 'body.expires_in') ?? 0) * Number(form.expiresUnit) }),
    ...(Object.keys(config).length > 0 && { config }),
  }
  return { body, faults }
}

/** @param {Record<string, string>} members The members that are not empty. */
const given = (members) => Object.fromEntries(Object.entries(members).filter(([, text]) => text !== ''))

/** @param {string} text @param {string} path @param {FieldFault[]} faults */
function json(text, path, faults) {
  try {
    return JSON.parse(text)
  } catch (error) {
    faults.push({ path, code: 'json', message: `is not JSON: ${/** @type {Error} */ (error).message}` })
    return undefined
  }
}

/** The body as it may be shown: without the password. */
export const withoutPassword = (/** @type {Record<string, any>} */ body) =>
  body['config']?.password ? { ...body, config: { ...body['config'], password: '<the password>' } } : body
