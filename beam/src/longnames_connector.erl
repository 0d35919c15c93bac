%% @doc Connects this node to the members of a cluster, and keeps it connected.
%%
%% It knows the members of the last good answer, whatever comes after it. It asks, and connects, in processes of their
%% own: a server that hangs, or a member that is dead, keeps nobody waiting.
-module(longnames_connector).
-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").
-include_lib("kernel/include/net_address.hrl").

-export([child_spec/1, start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([opts/0, event/0]).

-type opts() :: #{name := longnames_dns:name(),
                  interval => pos_integer(),
                  disconnect_after => never | pos_integer(),
                  callback => {module(), atom()} | fun((event()) -> term()),
                  connect => fun((node()) -> term()),
                  disconnect => fun((node()) -> term()),
                  list_nodes => fun(() -> [node()]),
                  start_timer => fun((Delay :: non_neg_integer()) -> reference()),
                  has_address => fun(() -> boolean()),
                  now => fun(() -> integer()),
                  wait_for_address => non_neg_integer(),
                  atom() => term()}.
%% Those of {@link longnames_dns:opts()}, and
%% <ul>
%% <li>`name': of the cluster.</li>
%% <li>`interval': between two questions when nothing happens, in milliseconds, by default 15000.</li>
%% <li>`disconnect_after': a member that so many good answers in a row have lacked, an interval apart, is disconnected;
%% by default `never'.</li>
%% <li>`callback': is called with one event after the other, in a process of its own. Where it does not return, the last
%% 100 events wait, and those before are dropped. A connector that starts again tells the members again.</li>
%% <li>`connect', `disconnect', `list_nodes': by default those of distribution.</li>
%% <li>`wait_for_address': how long after its start a node that is not listed and has no address connects to nobody, in
%% milliseconds, by default 10000; with 0 it does not wait.</li>
%% <li>`start_timer', `now', `has_address': are for tests.</li>
%% </ul>

-type event() :: {members, Name :: string(), [node()]}
               | {failing, Name :: string(), longnames_dns:reason()}
               | {recovered, Name :: string(), [node()]}.

%% A node that starts connects to all others, so nobody has to ask often. What has just begun or changed is asked for
%% soon again: at 0, 0.5, 1, 2 and 4 s.
-define(SOON, [500, 500, 1000, 2000]).
-define(ONCE_IN, 500).
%% A node that is not listed yet is the one that has to connect, once it is. It asks each second, for a minute.
-define(UNLISTED, 1000).
-define(AT_FIRST, 60000).
-define(ADDRESSLESS, 10000).
%% The members wait so long for the answers to other questions.
-define(PATIENCE, 2000).
-define(MOST_EVENTS, 100).

-record(state, {name :: string(),
                opts :: opts(),
                members = [] :: [node()],
                failing = false :: false | {longnames_dns:reason(), Since :: integer()},
                absent = #{} :: #{node() => non_neg_integer()}, % only with disconnect_after
                counted :: integer(),
                soon = ?SOON :: [pos_integer()],
                timer :: reference(),
                asking = none :: none | reference(),
                connecting = #{} :: #{reference() => node()},
                reachable :: boolean(), % is listed, or has an address
                lost = #{} :: #{node() => integer()}, % when members went down
                ports_of = [] :: [node()], % that our -epmd_module has asked for
                telling = none :: none | reference(),
                events = [] :: [event()], % that wait for the callback, in order
                full = false :: boolean(), % and since then the callback has not had all
                dropped = 0 :: non_neg_integer(),
                started :: integer(),
                asked :: integer(),
                questions = 0 :: non_neg_integer()}).

%% @doc Returns what a supervisor needs to start a connector.
-spec child_spec(opts()) -> supervisor:child_spec().
child_spec(Opts) ->
    #{name := Name} = longnames_dns:checked(Opts),
    #{id => {?MODULE, longnames_dns:name(Name)}, start => {?MODULE, start_link, [Opts]}}.

%% @doc Starts a connector.
-spec start_link(opts()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Opts) -> gen_server:start_link(?MODULE, longnames_dns:checked(Opts), []).

%% @private
-spec init(opts()) -> {ok, #state{}}.
init(Opts) ->
    ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
    lists:foreach(fun remember/1, nodes(connected)),
    Now = now_ms(Opts),
    Name = longnames_dns:name(maps:get(name, Opts)),
    {Members, Failing} = longnames_status:last(Name),
    State = #state{name = Name, opts = Opts, timer = start_timer(0, Opts), started = Now, asked = Now, counted = Now,
                   members = Members, failing = Failing, reachable = lists:member(node(), Members)},
    %% What the callback had not been told when the last connector ended is lost.
    {ok, connect(case Members of [] -> State; _ -> tell({members, Name, Members}, State) end)}.

%% @private
-spec handle_call(term(), term(), #state{}) -> {noreply, #state{}}.
handle_call(_, _, State) -> {noreply, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) -> {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({timeout, Timer, ask}, State = #state{timer = Timer, opts = Opts}) ->
    {Delay, Soon} = next(State),
    Pauses = [Pause || Node <- unconnected(State#state.members, Opts), Pause <- [pause(Node, State)], Pause > 0],
    {noreply, connect(ask(State#state{timer = start_timer(lists:min([Delay | Pauses]), Opts), soon = Soon}))};
handle_info({'DOWN', Monitor, process, _, {answer, {ok, _} = Answer, PortsOf, More, Reachable}},
            State = #state{asking = Monitor, questions = Questions}) ->
    {noreply, publish(answered(Answer, State#state{asking = none, ports_of = PortsOf, questions = Questions + More,
                                                   reachable = Reachable}))};
handle_info({'DOWN', Monitor, process, _, {answer, Error}}, State = #state{asking = Monitor}) ->
    {noreply, publish(answered(Error, State#state{asking = none}))};
handle_info({'DOWN', Monitor, process, _, _}, State = #state{asking = Monitor}) ->
    {noreply, publish(answered({error, killed}, State#state{asking = none}))};
handle_info({'DOWN', Monitor, process, _, _}, State = #state{telling = Monitor}) ->
    {noreply, told(State#state{telling = none})};
handle_info({'DOWN', Monitor, process, _, _}, State = #state{connecting = Connecting}) ->
    {noreply, State#state{connecting = maps:remove(Monitor, Connecting)}};
handle_info({nodeup, Node, _}, State) ->
    remember(Node),
    {noreply, State};
handle_info({nodedown, Node, _}, State = #state{members = Members, timer = Timer, lost = Lost, opts = Opts}) ->
    case lists:member(Node, Members) of
        true ->
            _ = erlang:cancel_timer(Timer),
            Now = now_ms(Opts),
            Delay = max(0, State#state.asked + ?ONCE_IN - Now),
            {noreply, connect(State#state{timer = start_timer(Delay, Opts), soon = ?SOON,
                                          lost = (maps:with(Members, Lost))#{Node => Now}})};
        false -> {noreply, State}
    end;
handle_info(_, State) -> {noreply, State}.

next(#state{soon = Soon = [Delay | _], asking = Asking}) when Asking =/= none -> {Delay, Soon}; % nothing is asked now
next(#state{soon = [Delay | Soon]}) -> {Delay, Soon};
next(#state{members = Members, started = Started, opts = Opts}) ->
    case not lists:member(node(), Members) andalso now_ms(Opts) - Started < ?AT_FIRST of
        true -> {?UNLISTED, []};
        false ->
            {max(1, round(interval(Opts) * (0.8 + 0.4 * rand:uniform()))), []}
    end.

ask(State = #state{asking = none, name = Name, opts = Opts, ports_of = PortsOf}) ->
    {_, Monitor} = spawn_monitor(fun() -> exit(question(Name, Opts, PortsOf)) end),
    publish(State#state{asking = Monitor, asked = now_ms(Opts), questions = State#state.questions + 1});
ask(State) -> State.

%% The members are there whatever becomes of the other questions.
question(Name, Opts, PortsOf) ->
    case longnames_dns:members(Name, Opts) of
        {ok, Members} ->
            Brief = Opts#{timeout => min(?PATIENCE, maps:get(timeout, Opts, ?PATIENCE))},
            Ports = async(fun() -> ports_of(net_kernel:epmd_module(), Members, PortsOf, Name, Brief) end),
            Address = async(fun() -> lists:member(node(), Members) orelse has_address(Brief) end),
            Deadline = erlang:monotonic_time(millisecond) + ?PATIENCE,
            {PortsOf1, More} = await(Ports, Deadline, {PortsOf, 1}),
            {answer, {ok, Members}, PortsOf1, More, await(Address, Deadline, false)};
        Error -> {answer, Error}
    end.

async(Fun) -> element(2, spawn_monitor(fun() -> exit({result, Fun()}) end)).

await(Monitor, Deadline, Default) ->
    receive
        {'DOWN', Monitor, process, _, {result, Result}} -> Result;
        {'DOWN', Monitor, process, _, _} -> Default
    after max(0, Deadline - erlang:monotonic_time(millisecond)) -> Default
    end.

%% What is in this node's own /etc/hosts does not say that others find it.
has_address(#{has_address := HasAddress}) -> HasAddress();
has_address(Opts) ->
    [_, Host] = string:split(atom_to_list(node()), "@"),
    element(1, inet:parse_address(Host)) =:= ok orelse longnames_dns:has_address(Host, Opts).

%% Ports are asked for when there are new members, also where these connect first: nobody may be there to ask when that
%% connection breaks. And when there is somebody to connect to, who may have started anew.
ports_of(longnames_epmd, Members, PortsOf, Name, Opts) ->
    case (Members -- [node() | PortsOf]) ++ unconnected(Members, Opts) of
        [] -> {PortsOf, 0};
        _ ->
            case longnames_epmd:learn_ports(Members, Name, Opts) of
                ok -> {Members, 1};
                {error, _} -> {PortsOf, 1}
            end
    end;
ports_of(_, _, PortsOf, _, _) -> {PortsOf, 0}.

answered({ok, Members}, State = #state{members = Before}) ->
    State1 = recovered(Members, State),
    State2 = case lists:sort(Members) =:= lists:sort(Before) of
                 true -> State1;
                 false -> tell({members, State#state.name, Members}, State1)
             end,
    connect(disconnect(Before, State2#state{members = Members}));
answered({error, Reason}, State = #state{failing = false, name = Name, members = Members, opts = Opts}) ->
    ?LOG_WARNING("longnames: no members for ~ts: ~ts; ~b known ones stay",
                 [Name, longnames_check:reason(Reason), length(Members)]),
    tell({failing, Name, Reason}, State#state{failing = {Reason, now_ms(Opts)}});
answered({error, Reason}, State = #state{failing = {_, Since}}) ->
    State#state{failing = {Reason, Since}}.

recovered(_, State = #state{failing = false}) -> State;
recovered(Members, State = #state{failing = {_, Since}, name = Name, opts = Opts}) ->
    ?LOG_NOTICE("longnames: members for ~ts again, after ~b s: ~b",
                [Name, (now_ms(Opts) - Since) div 1000, length(Members)]),
    tell({recovered, Name, Members}, State#state{failing = false}).

connect(State = #state{members = Members, opts = Opts, connecting = Connecting}) ->
    Connect = maps:get(connect, Opts, fun net_kernel:connect_node/1),
    New = [Node || Node <- unconnected(Members, Opts) -- maps:values(Connecting), pause(Node, State) =< 0],
    Started = maps:from_list([{spawn_one(Connect, Node), Node} || Node <- New]),
    State#state{connecting = maps:merge(Connecting, Started)}.

%% Two nodes that have no address yet cannot connect to each other, and OTP, to prevent overlapping partitions, takes
%% both from all others: if they came back at once, so would that.
%% So a node that was lost has time to come back by itself.
pause(_, #state{reachable = true}) -> 0;
pause(Node, #state{lost = Lost, started = Started, opts = Opts}) ->
    First = Started + maps:get(wait_for_address, Opts, ?ADDRESSLESS),
    End = case Lost of
              #{Node := At} -> max(First, At + interval(Opts) div 2);
              _ -> First
          end,
    End - now_ms(Opts).

disconnect(Before, State = #state{opts = Opts = #{disconnect_after := Most}, members = Members, counted = Counted})
  when is_integer(Most) ->
    %% Answers that come soon after each other are taken for one.
    More = case now_ms(Opts) - Counted >= interval(Opts) div 2 of true -> 1; false -> 0 end,
    Known = maps:merge(maps:from_list([{Node, 0} || Node <- Before]), State#state.absent),
    Absent = maps:map(fun(_, Times) -> Times + More end, maps:without([node() | Members], Known)),
    Gone = [Node || {Node, Times} <- maps:to_list(Absent), Times >= Most],
    Connected = Gone -- unconnected(Gone, Opts),
    lists:foreach(fun(Node) ->
                          ?LOG_NOTICE("longnames: ~ts is disconnected, which ~b answers lacked", [Node, Most]),
                          spawn_one(maps:get(disconnect, Opts, fun erlang:disconnect_node/1), Node)
                  end, Connected),
    State#state{absent = maps:without(Gone, Absent), counted = Counted + More * (now_ms(Opts) - Counted)};
disconnect(_, State) -> State.

unconnected(Members, Opts) ->
    ListNodes = maps:get(list_nodes, Opts, fun() -> nodes(connected) end),
    Members -- [node() | ListNodes()].

interval(Opts) -> maps:get(interval, Opts, 15000).

spawn_one(Fun, Node) -> element(2, spawn_monitor(fun() -> Fun(Node) end)).

%% A callback that crashes does no harm here. While it hangs there is one process of it, and what waits is bounded: the
%% last event has the members that count.
tell(Event, State = #state{opts = #{callback := Callback}, telling = none}) ->
    {_, Monitor} = spawn_monitor(fun() -> tell_one(Callback, Event) end),
    State#state{telling = Monitor};
tell(Event, State = #state{opts = #{callback := _}, events = Events, dropped = Dropped, full = Full, name = Name}) ->
    case Events ++ [Event] of
        [_ | Last] when length(Last) >= ?MOST_EVENTS ->
            _ = Full orelse ?LOG_ERROR("longnames: events of ~ts are dropped: the callback hangs", [Name]),
            State#state{events = Last, dropped = Dropped + 1, full = true};
        All -> State#state{events = All}
    end;
tell(_, State) -> State.

told(State = #state{events = []}) -> State#state{full = false};
told(State = #state{events = [Event | Events]}) -> tell(Event, State#state{events = Events}).

tell_one({Module, Function}, Event) -> Module:Function(Event);
tell_one(Callback, Event) -> Callback(Event).

publish(State = #state{failing = Failing, name = Name, members = Members, questions = Questions, dropped = Dropped,
                       opts = Opts}) ->
    longnames_status:write(Name, #{pid => self(), members => Members, failing => Failing, questions => Questions,
                                   dropped => Dropped, opts => maps:with([nameservers, timeout, max_names], Opts)}),
    State.

%% It asks the process of the connection, which may be slow.
remember(Node) -> spawn(fun() -> remember_address(Node) end).

remember_address(Node) ->
    case net_kernel:node_info(Node, address) of
        {ok, #net_address{address = {Address, _}}} when is_tuple(Address) -> longnames_epmd:remember(Node, Address);
        _ -> ok
    end.

start_timer(Delay, #{start_timer := Start}) -> Start(Delay);
start_timer(Delay, _) -> erlang:start_timer(Delay, self(), ask).

now_ms(#{now := Now}) -> Now();
now_ms(_) -> erlang:monotonic_time(millisecond).
