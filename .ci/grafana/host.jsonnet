// What the host in the picture does. Its people push, call and open shells: .ci/dashboard-picture.
local env = std.native('getEnv');
{
  httpServer: { listenAddress: env('AGENT') },
  journal: { path: 'journal.jsonl' },
  run: { stateDir: 'engine', verifyKeys: std.split(env('KEYS'), ' ') },
  sources: {
    baseline: { runFrequency: '40s', commands: [
      { id: 'clock', check: 'sleep 0.3; true', change: 'true' },
      { id: 'users', check: 'sleep 0.2; find users -newermt "-3 minutes" | grep -q .', change: 'date > users' },
    ] },
    web: { runFrequency: '25s', eventsSend: '^deployed$', shell: { command: '/bin/sh' }, commands: [
      {
        id: 'release',
        check: 'find release -newermt "-2 minutes" | grep -q .',
        change: 'sleep 1; date > release',
        onChange: 'etcha:deployed',
      },
      { id: 'certificate', check: 'sleep 0.1; true', change: 'true' },
    ] },
    cache: { eventsReceive: ['deployed'], triggerOnly: true, commands: [
      { id: 'flush', always: true, change: 'sleep 0.4' },
    ] },
    backup: { runFrequency: '45s', commands: [
      { id: 'snapshot', always: true, change: 'sleep 1.$((RANDOM % 9))' },
      { id: 'upload', always: true, change: 'sleep 0.8; ! test -e full' },
    ] },
    deploy: { allowPush: true },
    hook: { webhookPaths: ['/hook'], triggerOnly: true, commands: [
      { id: 'answer', always: true, change: 'sleep 0.2; echo thanks', onChange: 'etcha:webhookBody' },
    ] },
  },
}
