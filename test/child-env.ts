/**
 * What every program needs that a test starts, beside its settings. Node keeps compiled code in the folder that tap names
 * (package.json): with it a pull loads in 0.2 s of processor time, without in 0.6 s.
 */
export const CHILD_ENV = { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] }
