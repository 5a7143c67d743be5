interface Page<Item> {
  items: Item[]
  next_cursor: string | null
}

/** Yields the items of a listing. `read` requests a page; it gets no cursor for the first one. */
export async function* itemsOf<Item>(
  read: (cursor: { cursor?: string }) => Promise<Page<Item>>,
): AsyncGenerator<Item, void, void> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await read(cursor === undefined ? {} : { cursor })
    yield* page.items
    cursor = page.next_cursor
  }
}
