// What etcha-engine does on this host; see etcha-engine(1). It is started by
// `systemctl enable --now etcha-engine` once there is a source, and takes up a change by `systemctl reload etcha-engine`.
{
  run: {
    stateDir: '/var/lib/etcha-engine',
    // Public keys that sign patterns for this host, from `etcha-engine generate-keys`.
    verifyKeys: [],
  },
  // Followed by etcha-exporter, and readable to its group.
  journal: {
    path: '/var/lib/etcha/journal.jsonl',
  },
  sources: {
    // motd: {
    //   commands: [
    //     {
    //       id: 'greeting',
    //       check: 'grep -qs etcha /etc/motd',
    //       change: 'echo This host is looked after by etcha. >> /etc/motd',
    //     },
    //   ],
    //   runFrequency: '10m',
    // },
  },
}
