import { type BatchConfig, batchConfigBody } from '../batches/batch-config.ts'
import type { Config } from '../config.ts'
import type { MemberFault } from '../errors.ts'
import { attempt } from './attempt.ts'
import { checkNames, completed } from './check-settings.ts'
import { checkStorable } from './check-storable.ts'
import { memberReader } from './read-members.ts'
import { warningsOf } from './warnings.ts'

/** What there is to say of settings. `config` is without the password; null where a member cannot be read. */
export interface Verdict {
  is_valid: boolean
  errors: MemberFault[]
  warnings: MemberFault[]
  config: BatchConfig | null
}

/** Makes what judges the settings of a batch, its password among them, without writing or telling any. */
export function settingsValidator(config: Config): (value: unknown) => Verdict {
  const readMembers = memberReader(batchConfigBody(config))
  return (value) => {
    const read = attempt(() => {
      checkStorable(value)
      return completed(readMembers(value), config)
    })
    if (read.value === undefined) return { is_valid: false, errors: read.errors, warnings: [], config: null }
    const { settings, password } = read.value
    const { errors } = attempt(() => checkNames(settings, config))
    return { is_valid: errors.length === 0, errors, warnings: warningsOf(settings, password), config: settings }
  }
}
