%% @doc One DNS question, and what its answer says.
%%
%% The questions are inet_res's, to its name servers. A TXT record of the cluster's name is a whole longname, so nothing
%% has to be put together. An answer that is empty or failed is an error of its own kind, and never "nobody is there".
-module(longnames_dns).

-export([members/2, ports/2, has_address/2, longname/1, name/1, checked/1]).

-include_lib("kernel/include/logger.hrl").

-export_type([name/0, opts/0, reason/0]).

-type name() :: string() | binary().
%% The name of the cluster. A final dot makes no difference: there is no search list.

-type opts() :: #{nameservers => [inet_res:nameserver()],
                  timeout => pos_integer(),
                  max_names => non_neg_integer(),
                  atom() => term()}.
%% <ul>
%% <li>`nameservers': by default those of inet_res, which has them of `/etc/resolv.conf' or the inetrc.</li>
%% <li>`timeout': of a question with all its attempts, in milliseconds, by default 5000.</li>
%% <li>`max_names': how many names an answer may bring, ever, that no atom is known for, by default 100000. Further ones
%% are left out of answers, with a line in the log.</li>
%% </ul>

-type reason() :: nxdomain | empty | servfail | refused | timeout | formerr | econnrefused | einval | atom().
%% `empty': the name exists, but it has no record that is a longname. `nxdomain': the name does not exist, or there are
%% no name servers to ask. `einval': the name is no domain name, and no server was asked.

%% 1232 bytes go through every network unfragmented. One attempt a question: the attempts are ours, for inet_res waits
%% 1.5 s after a SERVFAIL.
-define(OPTIONS, [{edns, 0}, {udp_payload_size, 1232}, {retry, 1}]).
-define(FIRST_TIMEOUT, 1000).

%% @doc Returns the members of the cluster, in the server's order.
-spec members(name(), opts()) -> {ok, [node()]} | {error, reason()}.
members(Name, Opts) ->
    case ask(Name, txt, Opts) of
        {ok, Records} ->
            Names = [String || Strings <- Records, String <- [lists:append(Strings)], longname(String)],
            case lists:uniq(node_names(Names, maps:get(max_names, Opts, 100000))) of
                [] -> {error, empty};
                Nodes -> {ok, Nodes}
            end;
        {error, Reason} -> {error, Reason}
    end.

%% @doc Returns the host parts of the members, each with the port that its SRV record has.
-spec ports(name(), opts()) -> {ok, [{Host :: string(), inet:port_number()}]} | {error, reason()}.
ports(Name, Opts) ->
    case ask(Name, srv, Opts) of
        {ok, []} -> {error, empty};
        {ok, Records} -> {ok, [{Host, Port} || {_, _, Port, Host} <- Records]};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Reports whether the host has an address, of either family.
-spec has_address(Host :: string(), opts()) -> boolean().
has_address(Host, Opts) ->
    lists:any(fun(Type) -> case ask(Host, Type, Opts) of {ok, [_ | _]} -> true; _ -> false end end, [a, aaaa]).

%% @doc Reports whether the string is a longname that a node can have: at most 255 characters, a basename, and a host
%% that has a dot or is an IPv6 address.
-spec longname(string()) -> boolean().
longname(String) when length(String) =< 255 ->
    case string:split(String, "@") of
        [[_ | _] = Basename, Host] -> lists:all(fun basename_char/1, Basename) andalso host(Host);
        _ -> false
    end;
longname(_) -> false.

%% @doc Returns the name as it is asked for.
-spec name(name()) -> string().
name(Name) when is_binary(Name) -> name(binary_to_list(Name));
name(Name) ->
    case lists:suffix(".", Name) of
        true -> lists:droplast(Name);
        false -> Name
    end.

host(Host) ->
    case lists:member($:, Host) of
        true ->
            lists:all(fun(C) -> C =:= $: orelse C =:= $. orelse hex_char(C) end, Host) andalso
                element(1, inet:parse_ipv6strict_address(Host)) =:= ok;
        false ->
            Labels = string:split(Host, ".", all),
            length(Labels) > 1 andalso lists:all(fun label/1, Labels)
    end.

label(Label) -> Label =/= [] andalso length(Label) =< 63 andalso lists:all(fun basename_char/1, Label).

basename_char(C) ->
    C >= $0 andalso C =< $9 orelse C >= $a andalso C =< $z orelse C >= $A andalso C =< $Z orelse
        C =:= $_ orelse C =:= $-.

hex_char(C) -> C >= $0 andalso C =< $9 orelse C >= $a andalso C =< $f orelse C >= $A andalso C =< $F.

%% Atoms are never freed, so only so many are made.
node_names(Names, Max) ->
    Nodes = lists:flatmap(fun(Name) -> node_name(Name, Max) end, Names),
    case length(Names) - length(Nodes) of
        0 -> ok;
        Left -> ?LOG_ERROR("longnames: ~b members are left out, since DNS has brought ~b names before", [Left, Max])
    end,
    Nodes.

node_name(Name, Max) ->
    try [list_to_existing_atom(Name)]
    catch error:badarg -> new_name(Name, Max)
    end.

new_name(Name, Max) ->
    Known = known_names(),
    case atomics:add_get(Known, 1, 1) of
        Count when Count =< Max -> [list_to_atom(Name)];
        _ -> atomics:sub(Known, 1, 1), []
    end.

known_names() ->
    case persistent_term:get(?MODULE, undefined) of
        undefined ->
            persistent_term:put(?MODULE, atomics:new(1, [])),
            persistent_term:get(?MODULE);
        Known -> Known
    end.

%% @private
%% Fails with `{bad_option, Key, Value, Expected}' if there is a wrong one among options.
-spec checked(map()) -> map().
checked(Opts) when is_map(Opts) ->
    maps:foreach(fun(Key, Value) ->
                         {Is, Expected} = expected(Key),
                         Is(Value) orelse error({bad_option, Key, Value, Expected})
                 end, Opts),
    Opts.

expected(name) -> {fun is_name/1, "a domain name, as a string or a binary"};
expected(nameservers) -> {fun are_nameservers/1, "[{Address, Port}], with addresses as tuples"};
expected(Key) when Key =:= timeout; Key =:= interval -> {fun is_positive/1, "milliseconds, more than 0"};
expected(disconnect_after) -> {fun(V) -> V =:= never orelse is_positive(V) end, "never, or a number more than 0"};
expected(Key) when Key =:= wait_for_address; Key =:= margin; Key =:= max_names ->
    {fun(V) -> V =:= 0 orelse is_positive(V) end, "a number, 0 or more"};
expected(_) -> {fun(_) -> true end, "anything"}.

is_positive(V) -> is_integer(V) andalso V > 0.

are_nameservers(V) ->
    is_list(V) andalso lists:all(fun({Address, Port}) -> inet:is_ip_address(Address) andalso is_positive(Port);
                                    (_) -> false
                                 end, V).

%% At most 255 bytes in wire format (RFC 1035, section 2.3.4): without a final dot, 253 characters.
is_name(Name) when is_binary(Name) -> is_name(binary_to_list(Name));
is_name(Name) ->
    io_lib:latin1_char_list(Name) andalso length(name(Name)) =< 253 andalso
        re:run(Name, "^[!--/-~]{1,63}(\\.[!--/-~]{1,63})*\\.?$", [dollar_endonly, {capture, none}]) =:= match.

ask(Name, Type, Opts) -> case is_name(Name) of true -> ask_servers(Name, Type, Opts); false -> {error, einval} end.

ask_servers(Name, Type, Opts) ->
    Servers = [{nameservers, S} || S <- [maps:get(nameservers, Opts, default)], S =/= default],
    Deadline = erlang:monotonic_time(millisecond) + maps:get(timeout, Opts, 5000),
    ask(name(Name), Type, Servers, ?FIRST_TIMEOUT, Deadline).

ask(Name, Type, Servers, Timeout, Deadline) ->
    case resolve(Name, Type, [{timeout, Timeout} | Servers], Deadline) of
        {error, timeout} = Error ->
            case left(Deadline) of
                0 -> Error;
                _ -> ask(Name, Type, Servers, 2 * Timeout, Deadline)
            end;
        %% Some builds of OTP take a truncated answer for a malformed one, and go on to the next server, which may not
        %% be there: https://github.com/erlang/otp/issues/11114
        {error, Reason} when Reason =:= formerr; Reason =:= econnrefused ->
            resolve(Name, Type, [{usevc, true}, {timeout, Timeout} | Servers], Deadline);
        Result -> Result
    end.

resolve(Name, Type, Options, Deadline) ->
    try inet_res:resolve(Name, in, Type, ?OPTIONS ++ Options, left(Deadline)) of
        {ok, Message} ->
            {ok, lists:flatmap(fun(Record) -> data(Record, Type) end, inet_dns:msg(Message, anlist))};
        {error, {qfmterror, _}} -> {error, formerr};
        {error, {Reason, _}} -> {error, Reason};
        {error, Reason} -> {error, Reason}
    catch
        error:_ -> {error, formerr} % it crashes on some messages
    end.

data(Record, Type) ->
    [inet_dns:rr(Record, data) || inet_dns:rr(Record, type) =:= Type, inet_dns:rr(Record, class) =:= in].

left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
