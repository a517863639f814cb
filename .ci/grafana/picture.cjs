// Takes the picture once everything is loaded and drawn: picture.cjs ADDRESS FILE. Fails if the page says an error.
const { chromium } = require('playwright-core');

(async () => {
  const [address, file] = process.argv.slice(2);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-proxy-server', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  // As high as any dashboard: tables have rows only where they can be seen.
  const page = await browser.newPage({ viewport: { width: 1280, height: 3000 } });
  const errors = [];
  page.on('pageerror', (error) => errors.push(error));
  page.on('console', (message) => message.type() === 'error' && errors.push(`${message.text()} ${message.location().url}`));
  await page.goto(address, { waitUntil: 'networkidle' });
  // Graphs are drawn after their legends have been measured.
  await page.waitForTimeout(2000);
  await page.locator('main').screenshot({ path: file });
  await browser.close();
  if (errors.length > 0) throw new Error(errors.join('\n'));
})().catch((error) => {
  console.error(`picture: ${error.message}`);
  process.exitCode = 1;
});
