// A VS Code window in a real browser, as a person sees it: what stands on the screen, and the keyboard.
// A story is a module whose default export gets a Window and `given` (JSON from the test); it throws when something is
// not as it should be. Run: node window.mjs STORY.mjs '{"editors": DIR, "address": "127.0.0.1:PORT", "folder": …}'
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const SECONDS = 100; // a bound for a hanging editor, not a measure: loaded machines are slow
const [story, json] = process.argv.slice(2);
const given = JSON.parse(json);
const { chromium } = createRequire(`${given.editors}/vscode/`)('playwright-core');
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

export class Window {
  constructor(page) {
    this.page = page;
    this.input = page.locator('.quick-input-widget input.input');
    this.rows = page.locator('.quick-input-widget .quick-input-list .monaco-list-row');
    this.toasts = page.locator('.notification-toast');
    this.status = page.locator('.statusbar-item', { hasText: 'Patchwright' }).first();
    this.treeRows = page.locator('.split-view-view .pane .monaco-list-row');
  }

  async until(what, holds, seconds = SECONDS) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      try {
        const value = await holds();
        if (value) return value;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
      if (Date.now() > end) {
        throw new Error(`timeout: ${what}\nseen: ${JSON.stringify(await this.seen(), null, 1)}`);
      }
      await this.page.waitForTimeout(50);
    }
  }

  // What a person could read off the screen, for messages.
  async seen() {
    return {
      status: await this.statusText(),
      toasts: await this.toasts.allInnerTexts(),
      picker: await this.rows.allInnerTexts(),
      tree: await this.treeRows.allInnerTexts(),
      text: await this.text(),
    };
  }

  async statusText() {
    return (await this.status.count()) ? (await this.status.innerText()).trim() : '';
  }

  // The visible lines of the editor in front (`.modified`: the right side of a diff), top to bottom.
  async lines(side = '.editor-instance') {
    const lines = await this.page
      .locator(`${side} .view-line`)
      .evaluateAll((all) => all.map((one) => [parseFloat(one.style.top), one.textContent]));
    return lines.sort((a, b) => a[0] - b[0]).map(([, text]) => text.replaceAll('\u00a0', ' '));
  }

  async text(side) {
    return (await this.lines(side)).join('\n');
  }

  async ready() {
    // What a screen reader says of the status bar item; its icon alone tells the states apart for the eye.
    await this.page.locator('.statusbar-item [aria-label="Patchwright: Ready"]').waitFor();
  }

  // Run a command by its title in the palette, as typed by hand.
  async run(title) {
    await this.until(`the command ${title}`, async () => {
      // A palette opened before the extension was known does not learn of it; elsewhere Escape would drop a selection.
      if (await this.input.isVisible()) await this.page.keyboard.press('Escape');
      await this.page.keyboard.press('F1');
      await this.input.waitFor({ timeout: 5000 });
      await this.input.fill(`>Patchwright: ${title}`);
      const row = this.rows.filter({ hasText: `Patchwright: ${title}` }).first();
      await row.waitFor({ timeout: 5000 });
      return true;
    });
    await this.page.keyboard.press('Enter');
  }

  // Answer our own picker: wait for its title, type, take the first row.
  async answer(title, text) {
    await this.page.locator('.quick-input-title', { hasText: title }).waitFor();
    await this.input.fill(text);
    await this.rows.filter({ hasText: text }).first().waitFor();
    await this.page.keyboard.press('Enter');
  }

  // Take what the picker offers by itself.
  async choose(title, text) {
    await this.page.locator('.quick-input-title', { hasText: title }).waitFor();
    await this.rows.filter({ hasText: text }).first().click();
  }

  async toast(text) {
    const toast = this.toasts.filter({ hasText: text }).first();
    await this.until(`the message "${text}"`, () => toast.isVisible());
    return toast;
  }

  // The rows of a quick fix menu at the cursor; asked again until one holds `text`.
  async codeAction(text) {
    const item = this.page.locator('.action-widget .monaco-list-row', { hasText: text }).first();
    await this.until(`the code action "${text}"`, async () => {
      // Escape would drop a selection, so it is for a menu only.
      if (await this.page.locator('.action-widget .monaco-list-row').first().isVisible()) await this.page.keyboard.press('Escape');
      await this.page.keyboard.press('Control+.');
      await item.waitFor({ timeout: 4000 });
      return true;
    });
    return item;
  }

  async click(line) {
    await this.page.locator('.editor-instance .view-line', { hasText: line }).first().click();
  }

  // Save the file in front, which an edit just changed, with the cursor on a line of it.
  async save(line) {
    const dirty = this.page.locator('.tab.active.dirty');
    await dirty.waitFor();
    await this.click(line);
    await this.page.keyboard.press('Control+S');
    await dirty.waitFor({ state: 'detached' });
  }

  async screenshot(name) {
    if (given.pictures) await this.page.screenshot({ path: `${given.pictures}/${name}.png` });
  }
}

export function is(found, wanted, what = 'value') {
  if (found !== wanted) throw new Error(`${what}: found ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}

export function holds(text, part) {
  if (!String(text).includes(part)) throw new Error(`no ${JSON.stringify(part)} in ${JSON.stringify(text)}`);
}

const late = new Promise((_, fail) => setTimeout(() => fail(new Error('the story takes too long')), given.seconds * 1000));
late.catch(() => undefined);
const browser = await chromium.launch({ executablePath: given.chromium, args: FLAGS });
let failed = 0;
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' });
const window = new Window(page);
try {
  page.setDefaultTimeout(SECONDS * 1000);
  const open = given.file ? [['openFile', `vscode-remote://${given.address}${given.file}`]] : [];
  const payload = encodeURIComponent(JSON.stringify(open));
  await page.goto(`http://${given.address}/?folder=${encodeURI(given.folder)}&payload=${payload}`);
  if (given.file) await page.locator('.editor-instance .view-line').first().waitFor();
  const { default: tell } = await import(pathToFileURL(story));
  await Promise.race([tell(window, given, { is, holds }), late]);
  console.log('STORY ENDED WELL');
} catch (error) {
  failed = 1;
  console.error(error.stack ?? error);
  console.error(JSON.stringify(await window.seen().catch(String), null, 1));
  if (given.failure) await page.screenshot({ path: given.failure }).catch(() => undefined);
}
await browser.close();
process.exit(failed);
