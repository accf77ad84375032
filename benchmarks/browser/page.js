// What is wrong with the page that this is evaluated in: a list of {kind, what}.
(() => {
  const found = [];
  const tell = (kind, what) => found.push({ kind, what });
  for (const folded of document.querySelectorAll("details")) folded.open = true;

  const nameOf = (element) => {
    const text = (element.getAttribute("aria-label") || element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 60);
    return `<${element.tagName.toLowerCase()}${element.className.baseVal ?? (element.className ? "." + element.className : "")}> ${text}`;
  };

  // Plots: a size, marks that are no grid, a name for who does not see them.
  const marks = "polyline, circle, rect, path";
  for (const svg of document.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    if (box.width < 50 || box.height < 30) tell("plot without size", `${nameOf(svg)}: ${box.width} x ${box.height}`);
    const drawn = [...svg.querySelectorAll(marks)].filter((mark) => {
      const own = mark.getBoundingClientRect();
      return own.width > 0 || own.height > 0;
    });
    if (!drawn.length) tell("plot without marks", nameOf(svg));
    if (svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label")) tell("plot without a name", nameOf(svg));

    // Its labels: none cut off by its edge, none on another one.
    const labels = [...svg.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
    labels.forEach(([text, own], place) => {
      if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1)
        tell("label cut off", `${text.textContent} in ${nameOf(svg)}`);
      for (const [other, theirs] of labels.slice(place + 1)) {
        const across = Math.min(own.right, theirs.right) - Math.max(own.left, theirs.left);
        const down = Math.min(own.bottom, theirs.bottom) - Math.max(own.top, theirs.top);
        if (across > 1 && down > 0.3 * Math.min(own.height, theirs.height))
          tell("labels overlap", `${text.textContent} and ${other.textContent} in ${nameOf(svg)}`);
      }
    });
  }

  // Links within the page.
  for (const link of document.querySelectorAll("a[href]")) {
    const target = link.getAttribute("href");
    if (target.startsWith("#") && !document.getElementById(decodeURIComponent(target.slice(1)))) tell("broken link", target);
  }

  // No scrolling sideways, but for what scrolls within itself.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    const wide = [...document.querySelectorAll("body *")].filter(
      (element) => element.getBoundingClientRect().right > width + 1 && !element.parentElement.closest(".wide"),
    );
    tell("page scrolls sideways", `${document.documentElement.scrollWidth} of ${width} px: ${wide.slice(0, 3).map(nameOf).join("; ")}`);
  }

  // Contrast of every text with what is behind it, as WCAG 2.1 defines it.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const rgba = (colour) => {
    if (!colours.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
      colours.set(colour, [red, green, blue, alpha / 255]);
    }
    return colours.get(colour);
  };
  const over = (front, behind) => [0, 1, 2].map((part) => front[part] * front[3] + behind[part] * (1 - front[3]));
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const backgrounds = new Map();
  const behind = (element) => {
    if (!element) return dark ? [0, 0, 0] : [255, 255, 255];
    if (!backgrounds.has(element)) {
      backgrounds.set(element, over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement)));
    }
    return backgrounds.get(element);
  };
  const told = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || ["TITLE", "SCRIPT", "STYLE", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const isDrawn = element instanceof SVGElement;
    let ground = behind(element);
    const box = isDrawn ? element.closest("g")?.querySelector("rect") : null; // a box that the text stands in
    if (box) ground = over(rgba(getComputedStyle(box).fill), ground);
    const first = luminance(over(rgba(isDrawn ? style.fill : style.color), ground));
    const second = luminance(ground);
    const contrast = (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700) ? 3 : 4.5;
    const name = nameOf(element);
    if (contrast < least && told.size < 20 && !told.has(name)) {
      told.add(name);
      tell("contrast", `${contrast.toFixed(2)} of ${least}: ${name}`);
    }
    if (dark && second > 0.6) tell("white box in dark", name);
  }
  return found;
})()
