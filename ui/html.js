import htm from './vendor/htm.mjs'
import { h } from './vendor/preact.mjs'

export { useCallback, useEffect, useId, useMemo, useRef, useState } from './vendor/hooks.mjs'
export { render } from './vendor/preact.mjs'

/**
 * Builds elements from a template, as JSX does: html`<p class="note">${text}</p>`. A value in braces becomes a text node or an
 * attribute, never markup, so a name that contains HTML is shown as it is.
 */
export const html = htm.bind(/** @type {(...parts: any[]) => import('./vendor/preact.mjs').VNode} */ (h))
