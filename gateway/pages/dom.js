// A page as a function of data: `h` describes an element, `patch` makes the page so and leaves alone what already is.

const SVG = "http://www.w3.org/2000/svg";

// Describe one element; null, undefined, false and "" among the children are left out.
export const h = (tag, attributes, ...children) => ({
  tag,
  attributes,
  children: children.flat(Infinity).filter((child) => child != null && child !== false && child !== ""),
});

// Give an element exactly these children. Nodes are kept by `key` or place, so focus and opened details survive.
export function patch(parent, wanted) {
  const descriptions = wanted.filter(Boolean);
  const kept = new Map([...parent.childNodes].filter((node) => node.key != null).map((node) => [node.key, node]));
  descriptions.forEach((description, index) => {
    const key = description.attributes?.key;
    const there = parent.childNodes[index] ?? null;
    const candidate = key == null ? there : kept.get(key);
    const node = candidate && fits(candidate, description) ? candidate : create(description, parent);
    if (node !== there) parent.insertBefore(node, there);
    update(node, description);
  });
  while (parent.childNodes.length > descriptions.length) parent.lastChild.remove();
}

function fits(node, description) {
  if (typeof description === "string") return node.nodeType === Node.TEXT_NODE;
  return node.nodeType === Node.ELEMENT_NODE && node.localName === description.tag && (node.key ?? null) === (description.attributes.key ?? null);
}

function create(description, parent) {
  if (typeof description === "string") return document.createTextNode(description);
  const inSvg = description.tag === "svg" || parent.namespaceURI === SVG;
  const node = inSvg ? document.createElementNS(SVG, description.tag) : document.createElement(description.tag);
  node.key = description.attributes.key;
  if (description.attributes["initially-open"]) node.open = true;
  return node;
}

function update(node, description) {
  if (typeof description === "string") {
    if (node.data !== description) node.data = description;
    return;
  }
  const { key, "initially-open": opened, ...attributes } = description.attributes;
  for (const name of node.given ?? []) if (!(name in attributes)) node.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
  node.given = Object.keys(attributes);
  patch(node, description.children);
}
