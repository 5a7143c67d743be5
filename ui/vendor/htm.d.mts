/** htm's own types describe a CommonJS module. */
declare const htm: {
  // biome-ignore lint/suspicious/noExplicitAny: a template takes values of every type
  bind<Element>(h: (...parts: any[]) => Element): (texts: TemplateStringsArray, ...values: any[]) => Element
}
export default htm
