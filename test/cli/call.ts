import { Readable, Writable } from 'node:stream'
import { run } from '../../cli/run.ts'

interface Surroundings {
  env?: Record<string, string>
  stdin?: string
  /** Whether stdin and stderr are terminals. */
  isTty?: boolean
  stop?: AbortSignal
  /** Called with each text on stderr. */
  onStderr?: (text: string) => void
}

/** Calls the command in this process: one of its own costs 0.2 s. Returns its exit code and both outputs. */
export async function usersync(
  args: string[],
  { env = {}, stdin = '', isTty = false, stop = new AbortController().signal, onStderr = () => {} }: Surroundings = {},
): Promise<{ code: number; out: string; err: string }> {
  let out = ''
  let err = ''
  const stdout = new Writable({
    write(chunk, _, done) {
      out += chunk
      done()
    },
  })
  const stderr = {
    isTTY: isTty,
    columns: 80,
    write(text: string) {
      err += text
      onStderr(text)
    },
  }
  const input = Object.assign(Readable.from([Buffer.from(stdin)]), { isTTY: isTty })
  const code = await run(args, { env, stdin: input, stdout, stderr, stop })
  return { code, out, err }
}
