import { Type } from 'typebox'
import { UUID_FORM } from './uuid-form.ts'

/** An id as a request gives it. */
export const Uuid = Type.String({ pattern: UUID_FORM.source })
