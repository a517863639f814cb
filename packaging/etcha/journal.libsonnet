// Has an Etcha agent record what its Commands do, by etcha-journal, without help of its makers.
//
//   local journal = import 'journal.libsonnet';
//   { run: journal.record([ …Commands… ]) }
//
// Each Command leaves its result in the variables of its `envPrefix`. A recorder Command behind it, one for each stretch of
// Commands between two groups, turns them into lines of the journal, in one process. It changes nothing else: ids, groups,
// checks, `envPrefix` and `onFail` stay as they are. A journal that cannot be written never fails a run.
//
// docs/beside-etcha.md says what is seen in this way and what is not.
{
  // The Command list with its recorders. `source` is the Source's name; without it, that of the run, which only Patterns that
  // are pushed or pulled can ask for. Wrap each list once, and all of it.
  record(list, source=null, tool='etcha-journal', journal=null)::
    local name = if source == null then std.native('getConfig')().vars.source else source;
    local options = if journal == null then '' else ' --journal ' + std.escapeStringBash(journal);
    local append = tool + ' append --stdin' + options;
    // Variables of two lists in one run must not meet.
    local prefix = 'J' + std.substr(std.md5(name + std.manifestJsonMinified(list)), 0, 8);
    local used = prefixes(list);
    assert std.length(used) == std.length(std.set(used)) :
           'journal.record: an envPrefix is used by several Commands; their results could not be distinguished';
    wrap(list, name, '', prefix, append),

  // A Source that records pulls, pushes and shells of one Source with key and address, from Etcha's events. Their outcome is
  // not known here and is recorded as unknown.
  audit(source, tool='etcha-journal', journal=null, shells=true):: {
    local options = if journal == null then '' else ' --journal ' + std.escapeStringBash(journal),
    triggerOnly: true,
    eventsReceive: ['pull', 'push'] + (if shells then ['shell'] else []),
    commands: [{
      id: 'record',
      always: true,
      change: tool + ' append --from-env --source ' + std.escapeStringBash(source) + options,
    }],
  },

  local flat(list) = if std.isArray(list) then std.flatMap(flat, list) else [list],

  local isGroup(command) = std.objectHas(command, 'commands'),

  local prefixes(list) = std.flatMap(
    function(command)
      if isGroup(command) then prefixes(command.commands)
      else if std.get(command, 'envPrefix', '') != '' then [command.envPrefix]
      else [],
    flat(list)
  ),

  local strings(value) = if std.isArray(value) then value else if value == '' then [] else [value],

  // `parent` is the label of the group that the list is in, `place` names the list among all.
  local wrap(list, source, parent, place, append) =
    local commands = flat(list);
    local count = std.length(commands);
    local ids = [command.id for command in commands];
    local prefixOf(index) =
      local own = std.get(commands[index], 'envPrefix', '');
      if own != '' then own else '%s_%d' % [place, index];
    // The place of the recorder of a Command: before the next group, or at the end.
    local end(index) = if index == count || isGroup(commands[index]) then index else end(index + 1);
    local recorderId(index) = 'journal' + (if index == count then '' else ' %d' % index);
    local line(index, mode, failed) = std.escapeStringBash(std.manifestJsonMinified({
      event: 'command',
      id: commands[index].id,
      mode: mode,
      'error': failed,
      source: source,
      [if parent != '' then 'parent_id']: parent,
    }));
    local print(index, mode, failed) = "printf '%s\\n' " + line(index, mode, failed);
    // A Command that `onFail` alone set off has no result of a check, and Etcha does not count it.
    local result(index) =
      |||
        case "${%(prefix)s_CHECK-}" in
        0) %(fine)s ;;
        1) %(needed)s
          case "${%(prefix)s_CHANGE-}" in 0) %(changed)s ;; 1) %(failed)s ;; esac ;;
        esac
      ||| % {
        prefix: prefixOf(index),
        fine: print(index, 'check', false),
        needed: print(index, 'check', true),
        changed: print(index, 'changed', false),
        failed: print(index, 'changed', true),
      };
    local recorder(from, to) = {
      id: recorderId(to),
      always: true,
      change:
        '{\n'
        + std.join('', [result(index) for index in std.range(from, to - 1)])
        + '} | ' + append + ' || :\n',
    };
    // The first Command of the stretch that ends at `index`.
    local start(index) = if index == 0 || isGroup(commands[index - 1]) then index else start(index - 1);
    local recorderAt(index) = if start(index) < index then [recorder(start(index), index)] else [];
    local one(index) =
      local command = commands[index];
      if isGroup(command) then
        local label = (if parent == '' then source else parent) + ' > ' + command.id;
        command { commands: wrap(command.commands, source, label, '%s_%d' % [place, index], append) }
      else
        command {
          envPrefix: prefixOf(index),
          onFail: strings(std.get(command, 'onFail', [])) + ['^%s$' % recorderId(end(index))],
        };
    assert std.length([id for id in ids if id == 'journal' || std.startsWith(id, 'journal ')]) == 0 :
           'journal.record: the ids `journal` and `journal N` are those of the recorders; give your Command another';
    std.flatMap(
      function(index) (if index == count || isGroup(commands[index]) then recorderAt(index) else [])
                      + (if index == count then [] else [one(index)]),
      std.range(0, count)
    ),
}
