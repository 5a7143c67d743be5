import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from '../http/service.ts'

/** The metrics of a service: each sample by its name and labels. */
export class Scrape {
  readonly text: string
  readonly #samples: Map<string, number>

  constructor(text: string) {
    this.text = text
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    this.#samples = new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    )
  }

  /** 0 if it has not occurred yet. */
  value(sample: string): number {
    return this.#samples.get(sample) ?? 0
  }

  /** All samples, with their labels. */
  samples(): string[] {
    return [...this.#samples.keys()]
  }

  /** The names of all samples, without labels. */
  names(): Set<string> {
    return new Set(this.samples().map((sample) => sample.replace(/\{.*/, '')))
  }
}

/** Reads `/metrics`. */
export async function scrape({ call }: Pick<Service, 'call'>): Promise<Scrape> {
  return new Scrape((await call('GET', '/metrics')).raw.toString())
}

/** Reads `/metrics` until `holds` is true, at most 30 s. */
export async function scrapeUntil(service: Pick<Service, 'call'>, holds: (now: Scrape) => boolean): Promise<Scrape> {
  for (const deadline = Date.now() + 30_000; ; await sleep(50)) {
    const now = await scrape(service)
    if (holds(now) || Date.now() > deadline) return now
  }
}
