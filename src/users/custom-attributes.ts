import { Type } from 'typebox'

/**
 * Members of any names. The pattern that a plain record of strings gets, `^.*$`, knows no line ends: members with one in their
 * name were left out of answers and of exported templates.
 */
export const CustomAttributes = Type.Record(Type.String({ pattern: '^[\\s\\S]*$' }), Type.Unknown())
