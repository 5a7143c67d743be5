/** Returns a path of the API description with values for its parameters: of an id, a name and a state that do not exist. */
export const examplePath = (template: string): string =>
  template
    .replace('{id}', '01890000-0000-7000-8000-000000000000')
    .replace('{name}', 'nothing')
    .replaceAll(/\{(base|state)\}/g, `u1-${'1'.repeat(64)}`)
