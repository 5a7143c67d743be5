import type { FuzzedRequest } from './fuzzed-request.ts'

/** The request as a curl command. The body is base64, so that every byte is preserved. */
export function curlOf({ method, target, headers, body }: FuzzedRequest, url: string): string {
  const parts = [
    method === 'HEAD' ? 'curl -sS -i --path-as-is --head' : `curl -sS -i --path-as-is -X ${method}`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(value === '' ? `${name};` : `${name}: ${value}`)}`),
    ...(body ? ['--data-binary @-'] : []),
    quoted(url + target),
  ]
  return (body ? `echo ${body.toString('base64')} | base64 -d | ` : '') + parts.join(' ')
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
