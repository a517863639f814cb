//! The style sheet of the status page: light, dark, print; rows on a desk, cards up to 768 px.

/// The whole sheet. The policy of the page names it by its digest.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8886;--accent:#0b5cad;--bad:#a5201a;--good:#17633a;--soft:#8881;--none:#595959;--text:#111;--page:#fff}\
@media(prefers-color-scheme:dark){:root{--accent:#7cc0ff;--bad:#ff9a91;--good:#7ddc9c;--none:#b3b3b3;--text:#eee;--page:#121212}}\
*{box-sizing:border-box}\
html{background:var(--page);color:var(--text)}\
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem 1.25rem 3rem;max-width:80rem}\
a{color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
header{border-bottom:1px solid var(--line);padding-bottom:.5rem}\
h1{font-size:1.5rem;margin:.5rem 0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem}\
h3{font-size:1rem;margin:1rem 0 .5rem}\
p{margin:.25rem 0 .75rem}nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}nav a{padding:.15rem 0}\
.problems{margin:.5rem 0;padding:.5rem 1rem .5rem 2rem;border-inline-start:.3rem solid var(--bad);background:var(--soft)}\
.problems li,.facts td,.facts th{overflow-wrap:anywhere}\
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}\
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}\
th,td{text-align:start;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}\
tr:last-child>*{border-bottom:0}thead th{background:var(--soft);white-space:nowrap}\
th[scope=row]{font-weight:600}\
.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}.none{color:var(--none)}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1rem}\
figure{margin:0;padding:.75rem;border:1px solid var(--line);border-radius:.5rem}\
figcaption{font-size:.9rem;margin-bottom:.25rem}\
.plot{display:grid;grid-template-columns:auto 1fr;gap:.1rem .4rem;font-size:.8rem;color:var(--none)}\
.plot .y{display:flex;flex-direction:column;justify-content:space-between;text-align:end;line-height:1}\
.plot .x{grid-column:2;display:flex;justify-content:space-between}\
svg{display:block;width:100%;height:6rem}\
polyline{fill:none;stroke:var(--accent);stroke-width:1.5;vector-effect:non-scaling-stroke}\
svg line{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}\
@media screen and (min-width:48.01rem){\
.wide td,.wide th{white-space:nowrap;max-width:14rem;overflow:hidden;text-overflow:ellipsis}\
.wide td:last-child{max-width:20rem}.failing td:last-child{max-width:40rem}\
.events th[scope=row],.sources th[scope=row]{max-width:24rem}.facts th{width:14rem}}\
@media screen and (max-width:48rem){\
.wide thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\
.wide,.wide tbody{display:block}\
.wide tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}.wide tr:last-child{border:0}\
.wide th[scope=row],.wide td{display:block;border:0;padding:.1rem .75rem;overflow-wrap:anywhere}\
.wide td::before{content:attr(data-label) \": \";color:var(--none)}\
.events td:has(>.none:only-child){display:none}\
.facts th,.facts td{padding:.3rem .5rem}}\
@media print{:root{color-scheme:light;--line:#999;--accent:#000;--bad:#a00;--good:#060;--none:#444;--text:#000;--page:#fff}\
body{max-width:none;padding:0;font-size:10pt}nav{display:none}\
.scroll{overflow:visible;border:0}table{font-size:9pt}th,td{overflow-wrap:anywhere}\
tr,figure,.problems{break-inside:avoid}h2,h3{break-after:avoid}\
.ago::after{content:\" (\" attr(title) \")\"}}";
