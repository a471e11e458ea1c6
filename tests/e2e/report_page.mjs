// Drives a report page in a real browser and prints what it saw as JSON, one entry a window size and colour scheme.
// Run: node report_page.mjs EDITORS_FOLDER CHROMIUM PAGE [PICTURES_FOLDER]
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [editors, chromiumPath, file, pictures] = process.argv.slice(2);
const { chromium } = createRequire(`${editors}/vscode/`)('playwright-core');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];
const browser = await chromium.launch({ executablePath: chromiumPath, args: FLAGS });
const address = pathToFileURL(file).href;
const seen = [];
for (const width of [1280, 390]) {
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const told = { width, colorScheme, console: [], requests: [], dialogs: [] };
    page.on('console', (message) => told.console.push(message.text()));
    page.on('pageerror', (error) => told.console.push(String(error)));
    page.on('request', (request) => request.url() !== address && told.requests.push(request.url()));
    page.on('dialog', (dialog) => (told.dialogs.push(dialog.message()), dialog.dismiss()));
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await page.goto(address);
    told.title = await page.title();
    told.background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    told.overflow = await overflow();
    if (pictures) await page.screenshot({ path: `${pictures}/report-${width}-${colorScheme}.png` });

    const diffOf = (number) => page.locator(`#c${number} .diff .added`).first();
    const row = page.locator('details.rollout', { has: page.locator('#c1') }).locator('> summary');
    told.closed = await diffOf(1).isVisible();
    await row.click();
    told.clicked = await diffOf(1).isVisible();
    told.output = await page.locator('#c1 .runs details').first().evaluate((one) => one.open);
    await page.locator('#c1 .runs summary').first().click();
    told.outputClicked = await page.locator('#c1 .runs .output').first().isVisible();
    await row.focus();
    await page.keyboard.press('Enter');
    told.keyboardClosed = await diffOf(1).isVisible();
    await page.keyboard.press('Space');
    told.keyboardOpened = await diffOf(1).isVisible();
    await page.locator('.strip a[href="#c2"]').click();
    told.jumped = await diffOf(2).isVisible();

    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)));
    told.overflowOpened = await overflow();
    told.scrollingDiffs = await page.locator('.diff').evaluateAll((all) => all.some((one) => one.scrollWidth > one.clientWidth));
    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = false)));
    await page.emulateMedia({ media: 'print', colorScheme });
    told.printed = await diffOf(1).evaluate((one) => one.getBoundingClientRect().height > 0 && one.checkVisibility());
    told.printedBackground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    seen.push(told);
    await page.close();
  }
}
await browser.close();
console.log(JSON.stringify(seen));
