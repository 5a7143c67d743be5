import { readTrue } from './arguments.ts'
import type { Generator } from './compiler.ts'
import { scalar } from './node.ts'

/** The first twelve digits, which decide a unique UUID. */
const RANK_BITS = 48

/** `{"$uuid": true}`: a UUID of version 4 (RFC 9562). Its 122 random bits come from the seed. */
export const uuid: Generator = {
  options: [],
  compile(use, compiler) {
    if (!readTrue(use, compiler)) return undefined
    const { word } = compiler.drawsAt(use.place)
    const write = (high: number, low: number, n: number, lane: number) => {
      const third = word(n, lane, 2)
      const version = hex16(0x4000 | (third >>> 20))
      const variant = hex16(0x8000 | (word(n, lane, 4) & 0x3fff))
      return `${hex32(high)}-${hex16(low)}-${version}-${variant}-${hex16(third & 0xffff)}${hex32(word(n, lane, 3))}`
    }
    return scalar({
      text: (n, lane) => write(word(n, lane, 0), word(n, lane, 1) >>> 16, n, lane),
      isText: true,
      maxTextBytes: 36,
      cost: 5,
      ranked: {
        size: 2 ** RANK_BITS,
        text: (rank, n, lane) => write(Math.floor(rank / 2 ** 16), rank % 2 ** 16, n, lane),
      },
    })
  },
}

/** Each byte as two digits: four times as fast as `toString(16)` and `padStart`. */
const BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const hex16 = (number: number) => `${BYTES[number >>> 8]}${BYTES[number & 0xff]}`
const hex32 = (number: number) => hex16(number >>> 16) + hex16(number & 0xffff)
