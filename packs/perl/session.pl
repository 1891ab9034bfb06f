# What a session needs of Perl. The driver runs this once, and then `Ringfence::turn()` for each turn.

# Here, where no variables of ours are in sight.
sub Ringfence::compiled { local @_; eval $Ringfence::text }

# Nothing of the library is loaded here: `strict` takes two milliseconds and `warnings` twelve.
package Ringfence::HostError;
sub type { $_[0]{type} }
sub message { $_[0]{message} }

package Ringfence;
BEGIN { ($^H, ${^WARNING_BITS}) = ($^H | 0x602, "\0") } # strict, and no warnings
sub NOTHING() { 0 }
sub VALUE() { 1 }
sub ERROR() { 2 }
sub EXIT() { 3 }
sub WANT_VALUE() { 1 }
sub DEPTH() { 100 }

my ($cells, $code, $variables, $shows, %ours) = (0, 0, 0, 0);
# What the text of a turn reaches by these names.
our ($text, $began, $package, $hints, $bits, %hash, %kept, %before, %after) = ('', 0, 'main', 0);

# Messages go through a device of the driver's.
open my $door, '+<:raw', '/dev/ringfence' or die "ringfence: $!";

sub ask {
    syswrite $door, $_[0];
    sysread $door, my $head, 5;
    my ($refused, $length) = unpack 'CV', $head;
    my $answer = '';
    sysread $door, $answer, $length if $length;
    return $refused ? undef : $answer;
}

# Values: CBOR.
sub head {
    my ($major, $n) = @_;
    return pack 'C', $major << 5 | $n if $n < 24;
    return pack 'CC', $major << 5 | 24, $n if $n < 1 << 8;
    return pack 'Cn', $major << 5 | 25, $n if $n < 1 << 16;
    return pack 'CN', $major << 5 | 26, $n if $n < 1 << 32;
    return pack 'CQ>', $major << 5 | 27, $n;
}

# What is marked as characters, or is UTF-8, is text; anything else is bytes.
sub is_text { utf8::is_utf8($_[0]) ? !($_[0] =~ /[\x{d800}-\x{dfff}]|[^\x{0}-\x{10ffff}]/) : do { my $copy = $_[0]; utf8::decode($copy) } }

sub text {
    my $copy = shift;
    utf8::encode($copy) if utf8::is_utf8($copy);
    return head(3, length $copy) . $copy;
}

sub number {
    my $n = shift;
    return head(0, $n) if $n =~ /\A[0-9]+\z/ && $n <= 18446744073709551615 && $n == int $n && "$n" eq int $n;
    return head(1, -($n + 1)) if $n =~ /\A-[1-9][0-9]*\z/ && $n >= -9223372036854775808;
    return pack 'Cd>', 0xfb, $n;
}

# Gives the bytes of a value; dies where it is not plain all through.
sub written {
    my ($value, $depth) = @_;
    die "deep\n" if $depth > DEPTH;
    return "\xf6" unless defined $value;
    my $kind = ref $value;
    if ($kind eq 'ARRAY') {
        return join '', head(4, scalar @$value), map { written($_, $depth + 1) } @$value;
    }
    if ($kind eq 'HASH') {
        my @keys = sort keys %$value;
        is_text($_) or die "a key\n" for @keys;
        return join '', head(5, scalar @keys), map { text($_), written($value->{$_}, $depth + 1) } @keys;
    }
    die "a reference\n" if $kind || ref \$value eq 'GLOB';
    return $value ? "\xf5" : "\xf4" if builtin::is_bool($value);
    return number($value) if builtin::created_as_number($value);
    return is_text($value) ? text($value) : head(2, length $value) . $value;
}

# Gives the value that begins at the first byte, and takes it off.
sub value {
    my $first = unpack 'C', substr $_[0], 0, 1, '';
    my ($major, $n) = ($first >> 5, $first & 31);
    if ($major == 7) {
        return unpack 'd>', substr $_[0], 0, 8, '' if $n == 27;
        return $n == 20 ? !!0 : $n == 21 ? !!1 : undef;
    }
    if ($n > 23) {
        my ($bytes, $format) = @{ [[1, 'C'], [2, 'n'], [4, 'N'], [8, 'Q>']]->[$n - 24] };
        $n = unpack $format, substr $_[0], 0, $bytes, '';
    }
    return $n if $major == 0;
    return $n < 1 << 63 ? -1 - $n : -1.0 - $n if $major == 1;
    return substr $_[0], 0, $n, '' if $major == 2 || $major == 3;
    return [map { value($_[0]) } 1 .. $n] if $major == 4;
    return { map { my $key = value($_[0]); $key => value($_[0]) } 1 .. $n } if $major == 5;
    my ($big, $sign) = (0.0, $n == 2 ? 0 : -1);
    $big = $big * 256 + $_ for unpack 'C*', value($_[0]);
    return $sign ? -1 - $big : $big;
}

sub shown {
    my $value = shift;
    require Data::Dumper;
    local ($Data::Dumper::Terse, $Data::Dumper::Sortkeys, $Data::Dumper::Useqq) = (1, 1, 1);
    chomp(my $text = eval { Data::Dumper->Dump([$value]) } // "$value");
    return $text;
}

# The functions of the host are functions of the package `main`.
sub call {
    my ($name, $keywords) = (shift, shift);
    my $message = eval { 'F' . written([$name, [@_], $keywords], 0) };
    my @place = caller 1;
    my $place = " at $place[1] line $place[2].\n";
    die "only plain values reach the host, in a call of $name$place" unless defined $message;
    my $answer = ask($message) // die "there is no function `$name` here$place";
    my ($failed, @given) = @{ value($answer) };
    return $given[0] unless $failed;
    unless ($shows++) {
        require overload;
        my $shown = sub { my $e = shift; "$e->{type}: $e->{message}$e->{place}" };
        overload::OVERLOAD('Ringfence::HostError', '""' => $shown, bool => sub { 1 }, fallback => 1);
    }
    die bless { type => $given[0], message => $given[1], place => $place }, 'Ringfence::HostError';
}

sub offer {
    my $listed = ask('L') // return;
    for my $told (@{ value($listed) }) {
        my $name = $told->{name};
        BEGIN { $^H &= ~0x2 }
        *{"main::$name"} = sub { call($name, {}, @_) };
    }
}

# `exit` ends the turn, through any `eval` around it.
*CORE::GLOBAL::exit = sub (;$) {
    $code = $_[0] & 255;
    eval { last RINGFENCE };
    die "exit cannot leave a block that is called from C\n";
};

# Variables of `my`: what is declared outside of all blocks of a turn is there in those that follow. References to them
# are taken while it is compiled, before its last statement, whose value is the turn's. So are its pragmas and its package.
# Each such variable gets a package to itself: a function that saw it still does when another of its name is declared.
sub taken {
    my ($into, @names) = @_;
    return "\%Ringfence::$into = (" . join(',', map { "'$_', scalar eval q{BEGIN { \$^H |= 0x400 } \\$_}" } @names) . ');';
}

sub declared {
    my ($source, %found) = @_;
    while ($source =~ /\b(my|state|our)\s*(\([^()]*\)|[\$\@%]\s*\w+)/g) {
        my ($kind, $names) = ($1, $2);
        $found{"$1$2"} = $kind while $names =~ /([\$\@%])\s*([A-Za-z_]\w*)/g;
    }
    return %found;
}

# Where the last statement begins: behind a `;`, or a `}` that no operator follows, where what stands before is whole.
sub last_statement {
    my ($source, $outer) = @_;
    my $operator = qr/(?:x|and|or|xor|cmp|eq|ne|lt|gt|le|ge|isa|if|unless|for|foreach|while|until|else|elsif|continue)\b/;
    my $tries = 0;
    return 0 if $source =~ /\b(?:BEGIN|UNITCHECK|CHECK|INIT|END)\b/;
    for (my $at = length $source; --$at > 0 && $tries < 20;) {
        my ($end, $rest) = (substr($source, $at, 1), substr $source, $at + 1);
        next unless $end eq ';' && $rest =~ /\A\s*[^\s;#)]/ || $end eq '}' && $rest =~ /\A\s*(?!$operator)[\$\@\\"'\w]/;
        $tries++;
        local $SIG{__WARN__} = sub { };
        my $first = substr $source, 0, $at + 1;
        $text = "sub {$outer$first\n}}";
        next unless compiled();
        forget($first);
        return $at + 1;
    }
    return 0;
}

# Functions that were defined where it was only tried: they will be once more.
sub forget {
    my ($source, $in) = (shift, $package);
    BEGIN { $^H &= ~0x2 }
    while ($source =~ /\bpackage\s+([\w:]+)|\bsub\s+([\w:]+)/g) {
        $in = $1, next if $1;
        my $name = index($2, '::') < 0 ? "${in}::$2" : $2;
        undef &$name if defined &$name;
    }
}

sub prepared {
    my $source = shift;
    $source =~ s/^__(?:END|DATA)__\b.*//ms;
    # Perl takes a statement that nothing ends for one of the line behind it.
    $source .= ' ;' unless index($source, '<<') >= 0 && $source =~ /^\w+\s*\z/m;
    my %new = declared($source);
    my @old = sort keys %kept;
    my $outer = "package $package;"
        . join('', map { "our $_;" } sort keys %ours)
        . join('', map { "package $kept{$_}; our $_;" } @old)
        . "package $package;"
        . 'BEGIN { ' . taken('before', @old)
        . '($^H, ${^WARNING_BITS}, %^H) = ($Ringfence::hints, $Ringfence::bits, %Ringfence::hash) } {';
    my ($last, $line) = (0, "\n#line 1 \"<cell $cells>\"\n");
    # What is empty gives nothing.
    my $marks = '$Ringfence::began = 1; ();';
    if (%new || $source =~ /\b(?:use|no|package)\b/) {
        my $declares = qr/\A\s*(?:my|our|state|use|no|package|sub)\b/;
        $last = last_statement($source, $outer . $line);
        $last = length $source if substr($source, $last) =~ $declares || !$last && $source =~ $declares;
        my @names = grep { $new{$_} ne 'our' } keys %new;
        my $hook = ';BEGIN { ' . taken('after', @names, @old)
            . '($Ringfence::hints, $Ringfence::bits, $Ringfence::package, %Ringfence::hash) = ($^H, ${^WARNING_BITS}, __PACKAGE__, %^H) }';
        substr $source, $last, 0, $last == length $source ? "\n$hook" : $hook if $last;
    }
    $text = "$outer$marks$line$source\n}";
    return grep { $new{$_} eq 'our' } keys %new;
}

sub keep {
    for my $name (keys %after) {
        my $now = $after{$name};
        next if !$now || $before{$name} && $before{$name} == $now;
        $kept{$name} = 'Ringfence::My' . ++$variables;
        BEGIN { $^H &= ~0x2 }
        *{"$kept{$name}::" . substr $name, 1} = $now;
    }
    %before = %after = ();
}

sub described {
    my $error = shift;
    my $type = builtin::blessed($error);
    my $message = eval { !ref $error || defined $type ? "$error" : shown($error) } // 'an error that cannot be shown';
    ($type, $message) = ($error->{type}, $error->{message}) if $type && $type eq 'Ringfence::HostError';
    $type //= $began ? 'Error' : 'SyntaxError';
    my $whole = $type eq 'Error' || $type eq 'SyntaxError' ? $message : "$type: $message";
    $whole .= $error->{place} =~ s/\n\z//r if ref $error && builtin::blessed($error) eq 'Ringfence::HostError';
    chomp($message, $whole);
    return join '', head(5, 3), map { text($_) } type => $type, message => $message, traceback => "$whole\n";
}

sub flush {
    for my $stream (\*STDOUT, \*STDERR) {
        my $before = select $stream;
        my $was = $|;
        ($|, $|) = (1, $was);
        select $before;
    }
}

sub turn {
    $cells++;
    my ($source, $flags) = (ask("\0t"), unpack 'V', ask("\0f"));
    my @before = ($package, $hints, $bits, {%hash});
    my @ours = prepared($source);
    my ($left, @given) = 1;
    $began = 0;
    RINGFENCE: {
        @given = compiled();
        $left = 0;
    }
    my $error = $@;
    if ($began) {
        keep();
        @ours{@ours} = ();
    } else {
        ($package, $hints, $bits, my $hash) = @before;
        %hash = %$hash;
    }
    my @told = (NOTHING, 0, '', '');
    if ($left) {
        @told[0, 1] = (EXIT, $code);
    } elsif (ref $error || $error ne '') {
        @told = (ERROR, 1, '', described($error));
    } elsif ($flags & WANT_VALUE && (@given > 1 || defined $given[0])) {
        my $value = @given > 1 ? \@given : $given[0];
        my $plain = eval { written($value, 0) };
        my $shown = defined $plain ? $plain : shown($value);
        utf8::encode($shown) if utf8::is_utf8($shown);
        @told = (VALUE, defined $plain ? 0 : 1, $shown, '');
    }
    flush();
    ask("\0r" . pack('V4', @told[0, 1], length $told[2], length $told[3]) . $told[2] . $told[3]);
}

offer();
