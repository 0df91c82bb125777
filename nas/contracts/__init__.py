"""Contract tests: what each kind of plug-in has to keep, for those of this program and for yours.

    python -m nas.contracts --plugin strategy=mine.strategy

runs those of that kind against the module, with pytest (`pip install 'gnn-nas[test]'`); without
`--plugin`, all of them against all that comes with the program. Nothing else imports this package.
"""
