import { Type } from 'typebox'

/** Usernames and roles, whose length is checked apart: nobody sees a blank at an end, and a login form cuts it off. */
export const NAME_FORM = /^(?:\S(?:[\s\S]*\S)?)?$/u

export const NAME_EXPECTED = 'with no blank at the beginning or end'

/** The same in a schema. */
export const nameOf = (maxLength: number) =>
  Type.String({
    minLength: 1,
    maxLength,
    pattern: NAME_FORM.source,
    description: `1 to ${maxLength} characters, ${NAME_EXPECTED}`,
  })
